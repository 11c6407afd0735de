package experiments

import (
	"context"
	"net/netip"
	"time"

	"brink/collector/limits"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "wildcard-listener", Group: Identity, Takes: time.Second,
		Question: "can one (source IP, source port) reach one listener on the wildcard at two of its addresses?",
		Expect:   "both connections stand: what differs is the address that was reached, not the one listened on",
		Limit:    limits.FourTuple,
		Hooks:    []string{"state", "connect", "accept", "port_choice", "bind"},
		Legs: func(Size) []Leg {
			return []Leg{
				wildcard("IPv4", "0.0.0.0", false, reuse, IPv4),
				wildcard("IPv6 alone", "::", true, reuse, IPv6),
				wildcard("[::], both families", "::", false, reuse, IPv4, IPv6),
				wildcardWithoutReuse(IPv4), wildcardWithoutReuse(IPv6),
			}
		},
	})
}

// wildcard is a leg: in each family one source connects to addresses 1 and 2,
// where one listener on the wildcard is reached.
func wildcard(name, listener string, v6only bool, source lab.SocketOptions, families ...Family) Leg {
	return Leg{
		Name: name,
		Prepare: func(ctx context.Context, b *Bench) error {
			if err := b.addAddresses(ctx, IPv6, 2); err != nil {
				return err
			}
			if err := b.pair(ctx); err != nil {
				return err
			}
			o := lab.ListenOptions{
				Addr:   netip.AddrPortFrom(netip.MustParseAddr(listener), firstPort),
				Accept: true, Greet: true,
			}
			if o.Addr.Addr().Is6() {
				o.V6Only = &v6only
			}
			s, err := b.Server.Listen(ctx, o)
			b.Listeners = []lab.Socket{s}
			return err
		},
		Predict: allStand(2 * len(families)),
		Push: func(ctx context.Context, b *Bench) (m Measurement, err error) {
			for _, f := range families {
				one, err := sameSource(ctx, b, lab.ConnectOptions{To: twoAddresses(f), From: f.at(1, sourcePort), SocketOptions: source})
				if m = m.plus(one); err != nil || m.Problem != "" {
					return m, err
				}
			}
			return m, nil
		},
	}
}

func twoAddresses(f Family) []netip.AddrPort {
	return []netip.AddrPort{f.at(1, firstPort), f.at(2, firstPort)}
}

// wildcardWithoutReuse: which listener is reached makes no difference to bind().
func wildcardWithoutReuse(f Family) Leg {
	leg := wildcard(f.String()+" without SO_REUSEADDR", "::", false, lab.SocketOptions{}, f)
	leg.Limit, leg.Predict, leg.Inspect = limits.BindConflict, oneBind, holderNamed(f.at(1, sourcePort))
	return leg
}
