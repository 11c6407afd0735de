package portrule

// Remedy is a socket option that would have allowed what was refused. All are
// to be set before the sockets bind: none helps one that is bound already,
// SO_REUSEADDR and SO_REUSEPORT on TCP sockets excepted.
type Remedy struct {
	Option string // as in setsockopt
	Side   Side
	many   bool // holders
}

// Side is on which sockets.
type Side uint8

// The sides of a Remedy.
const (
	Asker Side = iota
	Holders
	All
)

// String is the value of brink.remedy, as in "SO_REUSEADDR on both".
func (r Remedy) String() string {
	on := map[Side]string{Asker: "the asker", Holders: "the holder", All: "both"}
	if r.many {
		on[Holders], on[All] = "every holder", "all"
	}
	s := r.Option + " on " + on[r.Side]
	if r.Option == "SO_REUSEPORT" && r.Side == All {
		s += ", by one user"
	}
	return s
}

// Remedies are the options each of which alone would have allowed it, the best
// one first: what keeps IPv4 and IPv6 apart, then for TCP SO_REUSEADDR; not for
// UDP, where it hands the datagrams to whoever bound last.
func Remedies(ask Socket, holders ...Socket) []Remedy {
	var remedies []Remedy
	for _, option := range optionsFor(ask.Transport) {
		for _, side := range []Side{Asker, Holders, All} {
			if option.on(side).allows(ask, holders) {
				remedies = append(remedies, Remedy{Option: option.name, Side: side, many: len(holders) > 1})
				break // fewer sockets to change are better
			}
		}
	}
	return remedies
}

type option struct {
	name  string
	which Unknown
	side  Side
}

func optionsFor(t Transport) []option {
	v6only := option{name: "IPV6_V6ONLY", which: V6Only}
	reuseAddr := option{name: "SO_REUSEADDR", which: ReuseAddr}
	reusePort := option{name: "SO_REUSEPORT", which: ReusePort}
	if t == UDP {
		return []option{v6only, reusePort, reuseAddr}
	}
	return []option{v6only, reuseAddr, reusePort}
}

func (o option) on(side Side) option {
	o.side = side
	return o
}

// allows reports whether no holder would be in the way with the option set.
// Sockets that are to share by SO_REUSEPORT are to be one user's.
func (o option) allows(ask Socket, holders []Socket) bool {
	if o.side != Holders {
		ask = o.set(ask)
	}
	for _, held := range holders {
		if o.side != Asker {
			held = o.set(held)
		}
		if o.side == All && o.which == ReusePort {
			held.UID = ask.UID
		}
		if Judge(ask, held).InTheWay() {
			return false
		}
	}
	return true
}

func (o option) set(s Socket) Socket {
	s.Unknown &^= o.which
	switch o.which {
	case ReuseAddr:
		s.ReuseAddr = true
	case ReusePort:
		s.ReusePort = true
	case V6Only:
		s.V6Only = true
	}
	return s
}
