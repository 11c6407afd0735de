package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"brink/collector/limits"
	"brink/collector/memory"
	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

func init() {
	register(Experiment{
		Name: "nat-ports", Group: Ports, Takes: 3 * time.Second,
		Question: "how many connections to one destination can clients have behind a NAT?",
		Expect:   "as many as its pool has ports; then SYNs are dropped; another destination starts anew",
		Limit:    limits.NATPorts,
		Hooks:    []string{"state", "nat_ports"},
		Legs: func(s Size) []Leg {
			pool := 10
			if s.Full {
				pool = searchedWhole
			}
			return []Leg{
				throughNAT("IPv4", IPv4, pool, 1, pool+tooMany), throughNAT("IPv6", IPv6, pool, 1, pool+tooMany),
				throughNAT("two destinations", IPv4, pool, 2, 2*pool+tooMany),
				throughNAT("a pool larger than the load", IPv4, pool+tooMany, 1, pool+tooMany),
				withoutNAT(pool + tooMany),
			}
		},
	})
}

// searchedWhole is the largest pool in which every free port is found. In a
// larger one nf_nat_l4proto_unique_tuple tries 128 in a row from somewhere, then
// 64 from elsewhere, 32 and 16 (NF_NAT_MAX_ATTEMPTS, 4.20), and gives up: such a
// NAT refuses, now and then, before its last port is taken.
const searchedWhole = 128

// firstNATPort begins the pool: no client's own port, so that none is kept.
const firstNATPort = 5000

// throughNAT connects n times, by way of the router, to the destinations in turn.
func throughNAT(name string, f Family, pool, destinations, n int) Leg {
	r := routed{f}
	return Leg{
		Name: name,
		Prepare: func(ctx context.Context, b *Bench) error {
			if err := r.prepare(ctx, b, destinations); err != nil {
				return err
			}
			return needsTracking(b.Lab.SNAT(ctx, lab.NAT{
				Protocol: unix.IPPROTO_TCP, To: r.outer().Addr(), Low: firstNATPort, High: firstNATPort + uint16(pool) - 1,
			}))
		},
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) { return b.predictNAT(ctx, destinations, n) },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			p, err := b.predictNAT(ctx, destinations, n)
			if err != nil {
				return Measurement{}, err
			}
			return r.push(ctx, b, p.Value, n-p.Value)
		},
		Inspect: dropsCounted,
	}
}

// withoutNAT is the second control: the same hosts and load, no translation.
func withoutNAT(n int) Leg {
	r := routed{IPv4}
	return Leg{
		Name:    "without NAT",
		Prepare: func(ctx context.Context, b *Bench) error { return r.prepare(ctx, b, 1) },
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) { return b.predictNAT(ctx, 1, n) },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return r.push(ctx, b, n, 0)
		},
	}
}

// predictNAT computes from the rule as the kernel has it. What is translated to
// one address is told apart by its port, and by its destination: the reply's
// 4-tuple is what must be unique (nf_nat_used_tuple).
func (b *Bench) predictNAT(ctx context.Context, destinations, attempts int) (Prediction, error) {
	p := Prediction{Value: attempts, Unit: "connections", Formula: "attempts", Inputs: []Input{{"attempts", attempts}}}
	rules, err := b.Lab.NATRules(ctx)
	if err != nil || len(rules) == 0 {
		return p, needsTracking(err)
	}
	low, high := int(rules[0].Low), int(rules[0].High)
	room := destinations * (high - low + 1)
	p.Value, p.Apart = min(attempts, room), attempts > room
	p.Formula = "min(attempts, destinations × (high - low + 1))"
	p.Inputs = append(p.Inputs, Input{"destinations", destinations}, Input{"low", low}, Input{"high", high})
	return p, nil
}

// push fills the pool one by one, then sends more SYNs, which nobody answers.
func (r routed) push(ctx context.Context, b *Bench, room, more int) (Measurement, error) {
	to := r.destinations(len(b.Listeners))
	stood, err := b.Client.Connect(ctx, lab.ConnectOptions{To: to, Count: room, Greeting: true})
	if err != nil {
		return Measurement{}, err
	}
	m := Measurement{Value: stood.Opened, Errno: told(stood.Errnos), Refusals: stood.Attempts - stood.Opened}
	if m.Problem, err = r.seen(ctx, b, stood); err != nil {
		return m, err
	}
	beyond, err := b.connectBeyond(ctx, b.labs[0], to, more)
	if err != nil {
		return m, err
	}
	m = m.plus(beyond)
	counters, err := b.Lab.Counters(ctx)
	if err != nil {
		return m, err
	}
	b.note("drop", int(counters["conntrack.drop"]))
	accepted, err := b.awaitAccepted(ctx, m.Value)
	m.Endpoints = m.Value + accepted
	return m, err
}

// connectBeyond sends n SYNs from the client's lab to what is full by now. The
// repetitions count as well: each was refused like the first.
func (b *Bench) connectBeyond(ctx context.Context, client *lab.Lab, to []netip.AddrPort, n int) (m Measurement, err error) {
	if n == 0 {
		return m, nil
	}
	repeated, err := repeatedSYNs(ctx, client, func() error {
		r, err := b.Client.Connect(ctx, lab.ConnectOptions{
			To: to, Count: n, Concurrent: true, KeepGoing: true, Timeout: patience,
		})
		m = Measurement{Value: r.Opened, Errno: told(r.Errnos), Refusals: r.Attempts - r.Opened}
		return err
	})
	m.Refusals += repeated
	return m, err
}

// repeatedSYNs counts them while clients in a lab push. Before anything was full a
// SYN is repeated too, on a slow machine: that is no refusal.
func repeatedSYNs(ctx context.Context, client *lab.Lab, push func() error) (int, error) {
	before, err := client.Counters(ctx)
	if err != nil {
		return 0, err
	}
	if err := push(); err != nil {
		return 0, err
	}
	after, err := client.Counters(ctx)
	return int(after["TcpExt.TCPSynRetrans"] - before["TcpExt.TCPSynRetrans"]), err
}

// dropsCounted holds the router's own counter against the refusals.
func dropsCounted(b *Bench, m Measurement, _ memory.Evidence) string {
	if n := b.Notes["drop"]; n != m.Refusals {
		return fmt.Sprintf("measured %d refusals, /proc/net/stat/nf_conntrack has drop %d", m.Refusals, n)
	}
	return ""
}

// seen holds what the server says of its clients against the rule: the router's
// address and a port of the pool, each once for each destination; or, without a
// rule, the client's own.
func (r routed) seen(ctx context.Context, b *Bench, c lab.ConnectResult) (problem string, err error) {
	rules, err := b.Lab.NATRules(ctx)
	if err != nil {
		return "", err
	}
	known := map[[2]netip.AddrPort]bool{}
	for _, g := range c.Greetings {
		from, pair := g.Client, [2]netip.AddrPort{g.Client, g.Server}
		switch {
		case known[pair]:
			return fmt.Sprintf("%s has two connections from %s", g.Server, from), nil
		case len(rules) == 0 && from.Addr() != r.client().Addr():
			return fmt.Sprintf("without NAT %s sees the client at %s", g.Server, from), nil
		case len(rules) > 0 && (from.Addr() != rules[0].To || from.Port() < rules[0].Low || from.Port() > rules[0].High):
			return fmt.Sprintf("%s sees the client at %s, which is not in the pool %v", g.Server, from, rules[0]), nil
		}
		known[pair] = true
	}
	return "", nil
}
