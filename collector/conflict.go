package collector

import (
	"iter"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// BindConflict is a refused bind() or listen() with the sockets in its way.
type BindConflict struct {
	Time  time.Time
	Errno unix.Errno
	Local netip.AddrPort // what was asked for
	Asked SocketOptions
	// Listening: refused by listen(), which asks for the port again, not bind().
	Listening bool
	Transport Transport
	Netns     uint32
	Owner     Owner
	Holders   []Holder // empty: none could be found any more
	Hook      Hook
}

// Holder is a socket that holds a port.
type Holder struct {
	PID   uint32 // 0: no process has it open (TIME_WAIT, or it has gone)
	Name  string
	UID   uint32
	State State
	Local netip.AddrPort
	Peer  netip.AddrPort // zero for listening and bound sockets
}

// SocketOptions are those that decide whether two sockets may share a port.
type SocketOptions struct {
	ReuseAddr bool   // SO_REUSEADDR
	ReusePort bool   // SO_REUSEPORT
	V6Only    bool   // IPV6_V6ONLY, or net.ipv6.bindv6only when it was made
	Device    uint32 // SO_BINDTODEVICE, an interface's index; 0 for none
}

// Transport is what a port belongs to: TCP and UDP number theirs apart.
type Transport uint8

// The zero Transport is TCP.
const (
	TCP Transport = iota
	UDP
)

// String is the value of network.transport.
func (t Transport) String() string {
	if t == UDP {
		return "udp"
	}
	return "tcp"
}

// Kind is KindBindConflict.
func (*BindConflict) Kind() Kind { return KindBindConflict }

// Visit implements Fact.
func (b *BindConflict) Visit(v Visitor) {
	v.Time("time", b.Time)
	visitErrno(v, b.Errno)
	visitErrorType(v, b.Errno)
	visitTuple(v, b.Transport, b.Local, netip.AddrPort{})
	b.Owner.visit(v)
	visitNetns(v, b.Netns)
	if len(b.Holders) > 0 {
		v.List(KeyHolders, b.visitHolders())
	}
}

func (b *BindConflict) visitHolders() iter.Seq[func(Visitor)] {
	return func(yield func(func(Visitor)) bool) {
		for i := range b.Holders {
			if !yield(b.Holders[i].visit) {
				return
			}
		}
	}
}

func (h *Holder) visit(v Visitor) {
	if h.PID != 0 {
		v.Uint(KeyPID, uint64(h.PID))
		visitString(v, KeyProcess, h.Name)
	}
	v.String(KeyState, h.State.String())
	visitAddress(v, KeyLocalAddress, KeyLocalPort, h.Local)
	visitAddress(v, KeyPeerAddress, KeyPeerPort, h.Peer)
}
