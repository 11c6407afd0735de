package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// rtnetlinkDo opens a rtnetlink socket, which belongs to this process'
// namespace, for the time of f.
func rtnetlinkDo(f func(*rtnetlink.Conn) error) error {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(conn)
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func (in *inside) addAddress(a addressing) (none, error) {
	err := rtnetlinkDo(func(conn *rtnetlink.Conn) error {
		link, err := net.InterfaceByName(a.Interface)
		if err != nil {
			return err
		}
		if err := conn.Address.New(addressMessage(link.Index, a.Prefix)); err != nil {
			return err
		}
		return awaitLocal(conn, a.Prefix.Addr())
	})
	if errors.Is(err, syscall.EEXIST) {
		return none{}, nil // asked for a state, and the state is so
	}
	if err != nil {
		return none{}, fmt.Errorf("add address %v to %s: %w", a.Prefix, a.Interface, err)
	}
	return none{}, nil
}

// awaitLocal waits until packets to the address are taken in. An IPv6 address
// gets its local route in a work queue (addrconf_dad_work), also without
// duplicate address detection: a SYN that is sooner finds no way (ENETUNREACH,
// after a second).
func awaitLocal(conn *rtnetlink.Conn, a netip.Addr) error {
	to := &rtnetlink.RouteMessage{
		Family: family(a), DstLength: uint8(a.BitLen()), Attributes: rtnetlink.RouteAttributes{Dst: a.AsSlice()},
	}
	for end := time.Now().Add(defaultPatience); ; time.Sleep(time.Millisecond) {
		routes, err := conn.Route.Get(to)
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(errors.New("the kernel does not make it local"), err)
		}
	}
}

func addressMessage(index int, p netip.Prefix) *rtnetlink.AddressMessage {
	ip := net.IP(p.Addr().AsSlice())
	return &rtnetlink.AddressMessage{
		Family:       family(p.Addr()),
		PrefixLength: uint8(p.Bits()),
		Scope:        unix.RT_SCOPE_UNIVERSE,
		Index:        uint32(index),
		Attributes:   &rtnetlink.AddressAttributes{Address: ip, Local: ip, Flags: unix.IFA_F_NODAD},
	}
}

func (in *inside) addRoute(r routing) (none, error) {
	route := &rtnetlink.RouteMessage{
		Family:    family(r.Via),
		DstLength: uint8(r.To.Bits()),
		Table:     unix.RT_TABLE_MAIN,
		Protocol:  unix.RTPROT_STATIC,
		Scope:     unix.RT_SCOPE_UNIVERSE,
		Type:      unix.RTN_UNICAST,
		Attributes: rtnetlink.RouteAttributes{
			Dst: r.To.Addr().AsSlice(), Gateway: r.Via.AsSlice(),
		},
	}
	err := rtnetlinkDo(func(conn *rtnetlink.Conn) error { return conn.Route.Replace(route) })
	if err != nil {
		return none{}, fmt.Errorf("add a route to %v by way of %v: %w", r.To, r.Via, err)
	}
	return none{}, nil
}
