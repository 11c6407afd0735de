package experiments

import (
	"context"
	"net/netip"
	"syscall"
	"time"

	"brink/collector/limits"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "ephemeral-ports-bind-first", Group: Ports, Takes: 2 * time.Second,
		Question: "how many connections from one address, when each socket is bound to it before connecting?",
		Expect: "the range's size for all destinations together, then EADDRINUSE at bind(); " +
			"with IP_BIND_ADDRESS_NO_PORT the range's size to each of them",
		Limit: limits.EphemeralPorts,
		Hooks: []string{"state", "connect", "accept", "bind", "port_choice"},
		Legs: func(s Size) []Leg {
			if s.Full {
				return []Leg{bindFirst(IPv4, 2, 1, hostRange), bindLate(IPv4, hostRange)}
			}
			return []Leg{
				bindFirst(IPv4, 1, 1, smallRange), bindFirst(IPv4, 2, 1, smallRange), bindFirst(IPv4, 1, 2, smallRange),
				bindFirst(IPv6, 1, 1, smallRange), bindFirst(IPv6, 2, 1, smallRange),
				bindLate(IPv4, smallRange), bindLate(IPv6, smallRange),
			}
		},
	})
}

// bindFirst has bind() choose each port (inet_csk_find_open_port). It does not
// know the destination yet, so it looks for a port that no socket of the address
// has. The destinations make no difference then, and the addresses do.
func bindFirst(f Family, destinations, sources int, settings func() (portRange, error)) Leg {
	to := twoPorts(f)[:destinations]
	return Leg{
		Name:    bindFirstName(f, destinations, sources),
		Prepare: prepareSources(f, 1+sources, sources, to, settings),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			return b.predictBound(ctx, destinations, sources)
		},
		Push: func(ctx context.Context, b *Bench) (m Measurement, err error) {
			return b.pushSources(ctx, f, sources, lab.ConnectOptions{To: to}, 0)
		},
	}
}

func bindFirstName(f Family, destinations, sources int) string {
	switch {
	case destinations > 1:
		return f.String() + ", two destinations"
	case sources > 1:
		return f.String() + ", two addresses"
	}
	return f.String()
}

// predictBound: what counts are the addresses that are bound, not where they
// connect to.
func (b *Bench) predictBound(ctx context.Context, destinations, sources int) (Prediction, error) {
	p, err := b.predictPorts(ctx, 1, syscall.EADDRINUSE)
	p.Value *= sources
	p.Formula = "addresses × (high - low + 1 - reserved), for all destinations together"
	p.Inputs = append(p.Inputs, Input{"addresses", sources}, Input{"destinations", destinations})
	return p, err
}

// bindLate is bindFirst to two destinations, with connect() choosing the port: it
// knows the destination (__inet_hash_connect).
func bindLate(f Family, settings func() (portRange, error)) Leg {
	to := twoPorts(f)
	return Leg{
		Name:    f.String() + ", IP_BIND_ADDRESS_NO_PORT",
		Prepare: prepareSources(f, 2, 1, to, settings),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			return b.predictPorts(ctx, len(to), syscall.EADDRNOTAVAIL)
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return b.pushSources(ctx, f, 1, lab.ConnectOptions{To: to, SocketOptions: noPort}, 0)
		},
	}
}

// prepareSources sets the range, and has each destination served for all that so
// many of the addresses can send.
func prepareSources(f Family, addresses, sources int, to []netip.AddrPort, settings func() (portRange, error)) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) error {
		r, err := settings()
		if err != nil {
			return err
		}
		if err := r.apply(ctx, b); err != nil {
			return err
		}
		if err := b.addAddresses(ctx, f, addresses); err != nil {
			return err
		}
		p, err := b.predictPorts(ctx, sources, 0)
		if err != nil {
			return err
		}
		return b.serveAll(ctx, p.Value, to...)
	}
}

// pushSources pushes from one address after the other, the second one first: the
// first is the servers'. Each makes count connections, or as many as it has ports.
func (b *Bench) pushSources(ctx context.Context, f Family, sources int, o lab.ConnectOptions, count int) (m Measurement, err error) {
	for i := range sources {
		o.From = netip.AddrPortFrom(f.address(2+i), 0)
		one, err := b.pushAs(ctx, o, count)
		if err != nil {
			return m, err
		}
		m = m.plus(one)
	}
	return m, nil
}
