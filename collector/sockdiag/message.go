package sockdiag

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

var errShort = errors.New("short inet_diag message")

// messageSize is sizeof(struct inet_diag_msg).
const messageSize = 72

// parse reads a struct inet_diag_msg and, of the attributes that follow,
// INET_DIAG_SKV6ONLY. The kernel adds that one to IPv6 sockets without being
// asked.
func (s *Socket) parse(b []byte, protocol uint8) error {
	if len(b) < messageSize {
		return errShort
	}
	// the cookie is two 32-bit halves, the lower one first (sock_diag_save_cookie)
	cookie := uint64(binary.NativeEndian.Uint32(b[44:])) | uint64(binary.NativeEndian.Uint32(b[48:]))<<32
	*s = Socket{
		Protocol:     protocol,
		State:        state(b[1], protocol),
		TimeWait:     b[2] == timerTimeWait,
		Local:        address(b[0], b[8:24], binary.BigEndian.Uint16(b[4:])),
		Peer:         address(b[0], b[24:40], binary.BigEndian.Uint16(b[6:])),
		Interface:    binary.NativeEndian.Uint32(b[40:]),
		Cookie:       cookie,
		ReceiveQueue: binary.NativeEndian.Uint32(b[56:]),
		SendQueue:    binary.NativeEndian.Uint32(b[60:]),
		UID:          binary.NativeEndian.Uint32(b[64:]),
		Inode:        binary.NativeEndian.Uint32(b[68:]),
	}
	if b[0] != unix.AF_INET6 {
		return nil
	}
	if value := attribute(b[messageSize:], v6only); len(value) > 0 {
		s.V6Only, s.V6OnlyKnown = value[0] != 0, true
	}
	return nil
}

// timerTimeWait is idiag_timer of timewait sockets alone (inet_twsk_diag_fill).
const timerTimeWait = 3

// v6only is INET_DIAG_SKV6ONLY (include/uapi/linux/inet_diag.h).
const v6only = 11

// attribute is the value of the first attribute of that type, nil if there is
// none.
func attribute(b []byte, kind uint16) []byte {
	const header = unix.SizeofNlAttr
	for len(b) >= header {
		length := int(binary.NativeEndian.Uint16(b))
		if length < header || length > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:]) == kind {
			return b[header:length]
		}
		b = b[min(len(b), (length+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1)):]
	}
	return nil
}

// Numbers of include/net/tcp_states.h.
const (
	closed        = 7
	boundInactive = 13
)

// state is 13 for a TCP socket that is bound and nothing else. The kernel has
// the number in requests only and reports such a socket as closed; no other
// closed one is in any of TCP's tables. In UDP's most are.
func state(reported, protocol uint8) uint8 {
	if reported == closed && protocol == unix.IPPROTO_TCP {
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
