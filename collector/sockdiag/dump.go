package sockdiag

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Query says which sockets are wanted. The zero value wants all of them.
type Query struct {
	// NetnsPath is the namespace to ask, as /proc/PID/ns/net; empty is this
	// process's own.
	NetnsPath string
	// Protocol is IPPROTO_TCP, which 0 stands for, or IPPROTO_UDP. The kernel
	// module that knows of UDP (udp_diag) loads on demand; without it an error
	// comes back.
	Protocol uint8
	// LocalPort and PeerPort narrow the dump in the kernel; 0 is any.
	LocalPort, PeerPort uint16
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

const allStates = ^uint32(0)

// sizeof(struct inet_diag_req_v2), sizeof(struct inet_diag_msg)
const (
	requestSize = 56
	messageSize = 72
)

// SOCK_DIAG_BY_FAMILY, include/uapi/linux/sock_diag.h
const byFamily = 20

// Dump lists TCP or UDP sockets, IPv4 and IPv6. A socket that is open for the
// whole time is in the list; others may be. A connection that is not whole yet
// is there with state SYN_RECV and without an inode, though it holds no port.
func Dump(q Query) ([]Socket, error) {
	conn, err := dial(q.NetnsPath)
	if err != nil {
		return nil, fmt.Errorf("open sock_diag: %w", err)
	}
	defer conn.Close()
	var sockets []Socket
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		messages, err := conn.Execute(netlink.Message{
			Header: netlink.Header{Type: byFamily, Flags: netlink.Request | netlink.Dump},
			Data:   q.marshal(family),
		})
		if err != nil {
			return nil, fmt.Errorf("dump %s sockets: %w", protocolNames[q.protocol()], err)
		}
		for _, m := range messages {
			if s, err := parse(m.Data, q.protocol()); err == nil {
				sockets = append(sockets, s)
			}
		}
	}
	return sockets, nil
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

func (q Query) marshal(family uint8) []byte {
	states := q.States
	if states == 0 {
		states = allStates
	}
	b := make([]byte, requestSize)
	b[0], b[1] = family, q.protocol()
	binary.NativeEndian.PutUint32(b[4:], states)
	binary.BigEndian.PutUint16(b[8:], q.LocalPort)
	binary.BigEndian.PutUint16(b[10:], q.PeerPort)
	binary.NativeEndian.PutUint64(b[48:], ^uint64(0)) // INET_DIAG_NOCOOKIE
	return b
}
