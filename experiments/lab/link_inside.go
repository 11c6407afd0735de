package lab

import (
	"fmt"
	"net"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/jsimonetti/rtnetlink/v2/driver"
	"golang.org/x/sys/unix"
)

// LoopbackUp is `ip link set lo up`, in the calling thread's network namespace.
func LoopbackUp() error {
	_, err := (*inside)(nil).linkUp("lo")
	return err
}

func (*inside) linkUp(name string) (none, error) {
	err := rtnetlinkDo(func(conn *rtnetlink.Conn) error {
		link, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		return conn.Link.Set(&rtnetlink.LinkMessage{
			Index: uint32(link.Index), Flags: unix.IFF_UP, Change: unix.IFF_UP,
		})
	})
	if err != nil {
		return none{}, fmt.Errorf("bring %s up: %w", name, err)
	}
	return none{}, nil
}

// makePair needs CAP_NET_ADMIN over both namespaces (rtnl_link_get_net_capable).
func (*inside) makePair(l linking) (none, error) {
	there := &rtnetlink.LinkMessage{Attributes: &rtnetlink.LinkAttributes{
		Name: l.There, NetNS: rtnetlink.NetNSForPID(uint32(l.PID)),
	}}
	here := &rtnetlink.LinkMessage{Attributes: &rtnetlink.LinkAttributes{
		Name: l.Here,
		Info: &rtnetlink.LinkInfo{Kind: "veth", Data: &driver.Veth{PeerInfo: there}},
	}}
	err := rtnetlinkDo(func(conn *rtnetlink.Conn) error { return conn.Link.New(here) })
	if err != nil {
		return none{}, fmt.Errorf("make a veth pair to the namespace of process %d (is the module veth there? without root, was the lab made Beside?): %w", l.PID, err)
	}
	return none{}, nil
}
