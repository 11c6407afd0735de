package portrule

import "net/netip"

// bucket is what struct inet_bind_bucket remembers of a TCP port: whether all
// that came so far would share it, so that the next one need not ask each. It
// only ever admits; a refusal always comes from a holder.
//
// What it remembers can be wider than what the holders say one by one: a socket
// with SO_REUSEPORT that has been let in makes its address and its user the
// bucket's, and the next such socket there is not compared with anybody.
type bucket struct {
	holders int
	reuse   int // fastreuse: > 0 all share by SO_REUSEADDR; < 0 connect() made it
	port    int // fastreuseport: 0 no; anyAddress; oneAddress
	fast    Socket
}

// FASTREUSEPORT_ANY and FASTREUSEPORT_STRICT.
const (
	anyAddress = 1
	oneAddress = 2
)

// remembered is the bucket after the holders came, one after another, and the
// bind() of the one that asks to listen.
func remembered(ask Socket, holders []Socket) *bucket {
	b := &bucket{}
	for _, held := range holders {
		if held.Transport == ask.Transport && held.Local.Port() == ask.Local.Port() {
			b.add(held)
		}
	}
	if ask.State == Listening {
		ask.State = Bound
		b.add(ask)
	}
	return b
}

// admits is the short cut of inet_csk_get_port.
func (b *bucket) admits(ask Socket) bool {
	return b.holders > 0 && (b.reuse > 0 && reuses(ask) || b.matches(ask))
}

// reuses: a listener's SO_REUSEADDR counts for nothing.
func reuses(s Socket) bool { return s.ReuseAddr && s.State != Listening }

// matches is sk_reuseport_match. Only the bucket's address may be a wildcard.
func (b *bucket) matches(s Socket) bool {
	if b.port <= 0 || !s.ReusePort || b.fast.UID != s.UID {
		return false
	}
	return b.port == anyAddress || b.covers(s)
}

// covers is *_rcv_saddr_equal with the wildcard on the bucket's side alone.
func (b *bucket) covers(s Socket) bool {
	fast, local := b.fast.Local.Addr(), s.Local.Addr()
	switch {
	case local == netip.IPv6Unspecified() && fast.Is4In6():
		return false
	case local.Unmap().IsUnspecified() && !fast.Unmap().IsUnspecified():
		return false
	}
	s.V6Only = s.V6Only || local.Is6() && !local.Is4In6() && !local.IsUnspecified() // as bind() sets it
	return overlap(b.fast, s)
}

// add is inet_csk_update_fastreuse, and how connect() and accept() join.
func (b *bucket) add(s Socket) {
	first := b.holders == 0
	b.holders++
	switch s.Origin {
	case ByConnect: // __inet_hash_connect marks a new one as its own
		if first {
			b.reuse, b.port = -1, -1
		}
		return
	case ByAccept: // __inet_inherit_port: the listener was there before
		s.State = Listening
	}
	if first {
		b.reuse, b.port = 1, 0
		if s.ReusePort {
			b.port, b.fast = anyAddress, s
		}
	}
	if !reuses(s) {
		b.reuse = 0
	}
	if !s.ReusePort {
		b.port = 0
	} else if !b.matches(s) {
		b.port, b.fast = oneAddress, s
	}
}
