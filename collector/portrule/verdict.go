package portrule

// Rule is why a holder refuses: the value of brink.rule.
type Rule string

// The rules. NoRule: it does not refuse.
const (
	NoRule Rule = ""
	// Unknown: it depends on options that are not known.
	UnknownRule Rule = "unknown"
	// DualStack: one is IPv4, the other an IPv6 socket that covers IPv4.
	DualStack Rule = "dual-stack-wildcard"
	// OtherUser: SO_REUSEPORT is on both, but holds among one user's sockets.
	OtherUser Rule = "reuseport-other-user"
	// HolderListens: SO_REUSEADDR is nothing to a listener; SO_REUSEPORT is not on
	// both.
	HolderListens Rule = "holder-listens"
	// AskerWithoutReuseAddr and HolderWithoutReuseAddr: the addresses overlap, and
	// that side did not say that it would share. If neither did, the asker is named.
	AskerWithoutReuseAddr  Rule = "asker-without-reuseaddr"
	HolderWithoutReuseAddr Rule = "holder-without-reuseaddr"
)

var sentences = map[Rule]string{
	AddressesOverlap:       "a socket there has the port, and bind() does not choose it",
	MadeByBind:             "a bind() made the port, and connect() does not choose it",
	SameTuple:              "the whole 4-tuple exists",
	UnknownRule:            "the holder's options are not known",
	DualStack:              "the IPv6 socket covers IPv4, too",
	OtherUser:              "SO_REUSEPORT is on both, but of two users",
	HolderListens:          "the holder listens and SO_REUSEPORT is not on both",
	AskerWithoutReuseAddr:  "the asker has no SO_REUSEADDR",
	HolderWithoutReuseAddr: "the holder has no SO_REUSEADDR",
}

// Sentence is the rule for a person, without a capital or a full stop.
func (r Rule) Sentence() string { return sentences[r] }

// Verdict is what one holder does to one socket that asks.
type Verdict struct {
	Refuses bool // for certain
	Rule    Rule
}

// InTheWay reports whether the holder refuses, or may: its options are unknown.
func (v Verdict) InTheWay() bool { return v.Refuses || v.Rule == UnknownRule }

// Judge is the rule for one pair. With options of the holder unknown it tries
// all that they may be, and knows what they agree on.
func Judge(ask, held Socket) Verdict {
	var verdict Verdict
	first := true
	for known := range held.possibilities() {
		one := judgeKnown(ask, known)
		if first {
			verdict, first = one, false
			continue
		}
		if one.Refuses != verdict.Refuses {
			return Verdict{Rule: UnknownRule}
		}
		if one.Rule != verdict.Rule {
			verdict.Rule = UnknownRule
		}
	}
	return verdict
}

// possibilities are the socket with every value of its unknown options.
func (s Socket) possibilities() func(yield func(Socket) bool) {
	return func(yield func(Socket) bool) {
		for values := range s.Unknown + 1 {
			if values&^s.Unknown != 0 {
				continue // it names an option that is known
			}
			try := s
			try.Unknown = 0
			try.ReuseAddr = s.ReuseAddr || values&ReuseAddr != 0
			try.ReusePort = s.ReusePort || values&ReusePort != 0
			try.V6Only = s.V6Only || values&V6Only != 0
			if !yield(try) {
				return
			}
		}
	}
}

func judgeKnown(ask, held Socket) Verdict {
	if !meet(ask, held) || shares(ask, held) {
		return Verdict{}
	}
	return Verdict{Refuses: true, Rule: rule(ask, held)}
}

// meet reports whether both want the same port in the same place. Sockets bound
// to different devices do not.
func meet(ask, held Socket) bool {
	return ask.Transport == held.Transport && ask.Local.Port() == held.Local.Port() &&
		(ask.Device == 0 || held.Device == 0 || ask.Device == held.Device) &&
		overlap(ask, held)
}

// shares is inet_bind_conflict, for UDP udp_lib_lport_inuse, the other way
// round. For TCP SO_REUSEADDR means nothing while the other listens.
func shares(ask, held Socket) bool {
	return ask.ReuseAddr && held.ReuseAddr && held.State != Listening ||
		ask.ReusePort && held.ReusePort && sameUser(ask, held)
}

func sameUser(ask, held Socket) bool {
	return held.State == TimeWait || ask.UID == held.UID
}

// rule says why two sockets that meet do not share. Families come first: that
// an IPv6 socket holds an IPv4 port is what surprises, and has its own remedy.
func rule(ask, held Socket) Rule {
	switch {
	case dualStack(ask, held):
		return DualStack
	case ask.ReusePort && held.ReusePort: // of the same user they would share
		return OtherUser
	case held.State == Listening:
		return HolderListens
	case !ask.ReuseAddr:
		return AskerWithoutReuseAddr
	}
	return HolderWithoutReuseAddr
}
