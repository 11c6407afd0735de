package collector

import (
	"net/netip"
	"time"

	"brink/collector/portrule"

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
	// Holders are the sockets in the way; of one whose options are not known, it
	// may be so. Empty: none could be found any more.
	Holders []Holder
	// Unnamed is how many more sockets may be in the way than Holders names.
	Unnamed int
	Hook    Hook
}

// The kernel's rule for sharing a port speaks of the same things.
type (
	// SocketOptions are those that decide whether two sockets may share a port.
	SocketOptions = portrule.Options
	// Transport is what a port belongs to: TCP and UDP number theirs apart.
	Transport = portrule.Transport
)

// The zero Transport is TCP.
const (
	TCP = portrule.TCP
	UDP = portrule.UDP
)

// The words of a bind conflict.
const (
	KeyReuseAddr = "brink.reuseaddr"
	KeyReusePort = "brink.reuseport"
	KeyV6Only    = "brink.v6only"
	KeyRule      = "brink.rule"
	KeyRemedy    = "brink.remedy"
	KeyUnnamed   = "brink.holders_unnamed"
)

// Kind is KindBindConflict.
func (*BindConflict) Kind() Kind { return KindBindConflict }

// Rule is why it was refused: what the holders' rules agree on, or that of the
// first, which is a listener if there is one.
func (b *BindConflict) Rule() portrule.Rule {
	for i := range b.Holders {
		if rule := b.Holders[i].Rule; rule != portrule.UnknownRule {
			return rule
		}
	}
	if len(b.Holders) > 0 {
		return b.Holders[0].Rule
	}
	return portrule.NoRule
}

// Remedy is what would have let it share the port with all its holders; empty if
// they are not known, or not all of them.
func (b *BindConflict) Remedy() string {
	if len(b.Holders) == 0 || b.Unnamed > 0 {
		return ""
	}
	holders, waiting := make([]portrule.Socket, len(b.Holders)), true
	for i := range b.Holders {
		holders[i] = b.Holders[i].socket()
		waiting = waiting && b.Holders[i].State == TimeWaitState
	}
	remedies := portrule.Remedies(b.asker(), holders...)
	if len(remedies) == 0 {
		return ""
	}
	if waiting {
		return remedies[0].String() + ", or 60 s of waiting" // TCP_TIMEWAIT_LEN
	}
	return remedies[0].String()
}

// asker is the socket that was refused.
func (b *BindConflict) asker() portrule.Socket {
	s := portrule.Socket{Transport: b.Transport, Local: b.Local, UID: b.Owner.UID, Options: b.Asked}
	if b.Listening {
		s.State = portrule.Listening
	}
	return s
}

// Visit implements Fact.
func (b *BindConflict) Visit(v Visitor) {
	v.Time("time", b.Time)
	visitErrno(v, b.Errno)
	visitErrorType(v, b.Errno)
	visitTuple(v, b.Transport, b.Local, netip.AddrPort{})
	if b.Local.IsValid() {
		v.Bool(KeyReuseAddr, b.Asked.ReuseAddr)
		v.Bool(KeyReusePort, b.Asked.ReusePort)
	}
	visitString(v, KeyRule, string(b.Rule()))
	visitString(v, KeyRemedy, b.Remedy())
	b.Owner.visit(v)
	visitNetns(v, b.Netns)
	if len(b.Holders) > 0 {
		v.List(KeyHolders, len(b.Holders), func(i int, v Visitor) { b.Holders[i].visit(v) })
	}
	if b.Unnamed > 0 {
		v.Uint(KeyUnnamed, uint64(b.Unnamed))
	}
}
