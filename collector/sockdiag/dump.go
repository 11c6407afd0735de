package sockdiag

import (
	"encoding/binary"
	"errors"
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
	// LocalPort and PeerPort narrow the dump in the kernel; 0 is any.
	LocalPort, PeerPort uint16
	// States is a bit set of 1 << TCP state; 0 is all of them, with sockets
	// that are bound and nothing else (state 13, listed since 6.8).
	States uint32
}

// Socket is one socket as inet_diag reports it (struct inet_diag_msg).
type Socket struct {
	State       uint8
	Local, Peer netip.AddrPort
	Cookie      uint64
	Inode       uint32 // 0: no file: TIME_WAIT, or closed by its program
	UID         uint32
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

// Dump lists TCP sockets, IPv4 and IPv6. A socket that is open for the whole
// time is in the list; others may be.
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
			return nil, fmt.Errorf("dump TCP sockets: %w", err)
		}
		for _, m := range messages {
			if s, err := parse(m.Data); err == nil {
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

func (q Query) marshal(family uint8) []byte {
	states := q.States
	if states == 0 {
		states = allStates
	}
	b := make([]byte, requestSize)
	b[0], b[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], states)
	binary.BigEndian.PutUint16(b[8:], q.LocalPort)
	binary.BigEndian.PutUint16(b[10:], q.PeerPort)
	binary.NativeEndian.PutUint64(b[48:], ^uint64(0)) // INET_DIAG_NOCOOKIE
	return b
}

var errShort = errors.New("short inet_diag message")

// parse reads a struct inet_diag_msg; attributes that may follow are not asked
// for.
func parse(b []byte) (Socket, error) {
	if len(b) < messageSize {
		return Socket{}, errShort
	}
	// the cookie is two 32-bit halves, the lower one first (sock_diag_save_cookie)
	cookie := uint64(binary.NativeEndian.Uint32(b[44:])) | uint64(binary.NativeEndian.Uint32(b[48:]))<<32
	return Socket{
		State:        state(b[1]),
		Local:        address(b[0], b[8:24], binary.BigEndian.Uint16(b[4:])),
		Peer:         address(b[0], b[24:40], binary.BigEndian.Uint16(b[6:])),
		Cookie:       cookie,
		ReceiveQueue: binary.NativeEndian.Uint32(b[56:]),
		SendQueue:    binary.NativeEndian.Uint32(b[60:]),
		UID:          binary.NativeEndian.Uint32(b[64:]),
		Inode:        binary.NativeEndian.Uint32(b[68:]),
	}, nil
}

// Numbers of include/net/tcp_states.h.
const (
	closed        = 7
	boundInactive = 13
)

// state is 13 for a socket that is bound and nothing else. The kernel has the
// number in requests only and reports such a socket as closed; no other closed
// one is in any of its tables.
func state(reported uint8) uint8 {
	if reported == closed {
		return boundInactive
	}
	return reported
}

func address(family uint8, b []byte, port uint16) netip.AddrPort {
	if family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[:4])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[:16])).Unmap(), port)
}
