package sockdiag

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Query says which sockets are wanted. The zero value wants all of them. All of
// it is looked at in the kernel.
type Query struct {
	// NetnsPath is the namespace to ask, as /proc/PID/ns/net; empty is this
	// process's own.
	NetnsPath string
	// Protocol is IPPROTO_TCP, which 0 stands for, or IPPROTO_UDP. The kernel
	// module that knows of UDP (udp_diag) loads on demand; without it an error
	// comes back.
	Protocol uint8
	// LocalPort and PeerPort narrow the dump; 0 is any.
	LocalPort, PeerPort uint16
	// LowPort and HighPort narrow it to the local ports from one to the other,
	// both inclusive; a HighPort of 0 is any.
	LowPort, HighPort uint16
	// States is a bit set of 1 << TCP state; 0 is all of them, with sockets
	// that are bound and nothing else (state 13, listed since 6.8).
	States uint32
}

// Socket is one socket as inet_diag reports it (struct inet_diag_msg).
type Socket struct {
	Protocol uint8
	// State of a UDP socket is 1 if it is connected and 7 if it is not.
	State uint8
	// TimeWait is a timewait socket: it has state TIME_WAIT, or FIN_WAIT2 if it
	// still waits for the peer's FIN.
	TimeWait    bool
	Local, Peer netip.AddrPort
	Interface   uint32 // what it is bound to, SO_BINDTODEVICE; 0 for none
	Cookie      uint64
	Inode       uint32 // 0: no file: TIME_WAIT, or closed by its program
	// UID is 0 of a timewait socket, and before 6.17 of any that has no file.
	UID uint32
	// V6Only is IPV6_V6ONLY, which the kernel tells of listeners and of sockets
	// that are not connected.
	V6Only, V6OnlyKnown bool
	// ReceiveQueue and SendQueue are bytes; for a listener they are the
	// connections that wait to be accepted and the backlog.
	ReceiveQueue, SendQueue uint32
}

// Dump lists TCP or UDP sockets, those of IPv4 first. A socket that is open for
// the whole time is in the list; others may be. A connection that is not whole
// yet is there with state SYN_RECV and without an inode, though it holds no port.
func Dump(q Query) ([]Socket, error) {
	var four, six []Socket
	err := Each(q, func(s *Socket) {
		if s.Local.Addr().Is4() {
			four = append(four, *s)
		} else {
			six = append(six, *s)
		}
	})
	if err != nil {
		return nil, err
	}
	return append(four, six...), nil
}

// Each is Dump for a million sockets: it lends them, one by one and in no order,
// for the length of a call. An error may come after some of them.
func Each(q Query, visit func(*Socket)) error {
	conn, err := dial(q.NetnsPath)
	if err != nil {
		return fmt.Errorf("open sock_diag: %w", err)
	}
	defer conn.Close()
	for _, r := range q.requests() {
		if err := r.each(conn, q.protocol(), visit); err != nil {
			return fmt.Errorf("dump %s sockets: %w", protocolNames[q.protocol()], err)
		}
	}
	return nil
}

func dial(netnsPath string) (*netlink.Conn, error) {
	if netnsPath == "" || isOwnNetns(netnsPath) {
		return netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	}
	ns, err := os.Open(netnsPath)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return netlink.Dial(unix.NETLINK_SOCK_DIAG, &netlink.Config{NetNS: int(ns.Fd())})
}

var protocolNames = map[uint8]string{unix.IPPROTO_TCP: "TCP", unix.IPPROTO_UDP: "UDP"}

func (q Query) protocol() uint8 {
	if q.Protocol == 0 {
		return unix.IPPROTO_TCP
	}
	return q.Protocol
}
