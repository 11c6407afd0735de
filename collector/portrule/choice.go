package portrule

import (
	"net/netip"
	"slices"
)

// Rules of a port that the kernel chooses: why its search passes over one. They
// are no values of brink.rule, for the search has no holder to name.
const (
	// AddressesOverlap: a socket there has the port.
	AddressesOverlap Rule = "addresses-overlap"
	// MadeByBind: a bind() made the port, and connect() leaves it alone.
	MadeByBind Rule = "made-by-bind"
	// SameTuple: the port is connect()'s own, but the whole 4-tuple exists.
	SameTuple Rule = "same-4-tuple"
)

// ChosenByBind tells why a bind() to port 0 does not choose the port that these
// hold; NoRule if it may.
//
// It is inet_csk_find_open_port, which calls inet_csk_bind_conflict with relax
// and reuseport_ok false: then no option helps against an address that overlaps.
// With net.ipv4.ip_autobind_reuse (5.7) it goes through the ports once more with
// relax, and SO_REUSEADDR on both helps while the holder does not listen; but not
// with SO_REUSEPORT on both as well, which would share what each of the two takes
// for a port of its own.
func ChosenByBind(ask Socket, autobindReuse bool, holders ...Socket) Rule {
	for _, held := range holders {
		relaxed := autobindReuse && ask.ReuseAddr && held.ReuseAddr && held.State != Listening
		group := ask.ReusePort && held.ReusePort && sameUser(ask, held)
		if meet(ask, held) && (!relaxed || group) {
			return AddressesOverlap
		}
	}
	return NoRule
}

// Connection is a socket with its other end.
type Connection struct {
	Socket
	Peer netip.AddrPort
}

// ChosenByConnect tells why connect() does not choose the port that these hold,
// for a socket that has none; NoRule if it may. Where a holder is, in which family
// and with which options, plays no part.
//
// It is __inet_hash_connect, which skips a port unless both fastreuse and
// fastreuseport are negative: so connect() makes one, and every bind() leaves one
// of them at least at zero (inet_csk_update_fastreuse). On a port of connect()'s
// own __inet_check_established wants the 4-tuple to be unique. Left out is the
// TIME_WAIT that may be reused (tcp_tw_reuse).
func ChosenByConnect(ask Connection, holders ...Connection) Rule {
	holders = slices.DeleteFunc(slices.Clone(holders), func(held Connection) bool {
		return held.Transport != ask.Transport || held.Local.Port() != ask.Local.Port()
	})
	switch {
	case slices.ContainsFunc(holders, func(held Connection) bool { return held.Origin != ByConnect }):
		return MadeByBind
	case slices.ContainsFunc(holders, ask.sameTuple):
		return SameTuple
	}
	return NoRule
}

// sameTuple: to the table of connections an IPv4-mapped address is an IPv4 one.
func (c Connection) sameTuple(other Connection) bool {
	return unmapped(c.Local) == unmapped(other.Local) && unmapped(c.Peer) == unmapped(other.Peer)
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
