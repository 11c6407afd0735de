package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"brink/collector"
	"brink/collector/memory"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "accept-queue", Group: Queues, Takes: 3 * time.Second,
		Question: "how many connections wait when nobody accepts?",
		Expect:   "backlog + 1 established; further SYNs are dropped and counted in ListenOverflows",
		Limit:    collector.LimitAcceptQueue,
		Hooks:    []string{"state", "accept_queue"},
		Legs: func(s Size) []Leg {
			backlog := 8
			if s.Full {
				backlog = 4096
			}
			return []Leg{
				nobodyAccepts(IPv4, backlog), nobodyAccepts(IPv6, backlog),
				capped(IPv4), somebodyAccepts(IPv4, backlog),
			}
		},
	})
}

const (
	tooMany = 3 // connects beyond what the queue holds
	// patience is less than the first retransmission of a SYN (1 s, RFC 6298),
	// so that each connect is one SYN and each refusal one overflow.
	patience = 400 * time.Millisecond
)

func nobodyAccepts(f Family, backlog int) Leg {
	at := f.at(1, firstPort)
	return Leg{
		Name: f.String(),
		Prepare: func(ctx context.Context, b *Bench) error {
			if err := b.addAddresses(ctx, f, 1); err != nil {
				return err
			}
			return b.listenWithout(ctx, at, backlog)
		},
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) { return b.predictQueue(ctx, backlog) },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			p, err := b.predictQueue(ctx, backlog)
			if err != nil {
				return Measurement{}, err
			}
			return b.overflow(ctx, at, p.Value+tooMany)
		},
		Inspect: overflowsCounted,
	}
}

// capped shows that somaxconn cuts the backlog that a program asks for.
func capped(f Family) Leg {
	leg := nobodyAccepts(f, 100)
	prepare := leg.Prepare
	leg.Name = "backlog above somaxconn"
	leg.Prepare = func(ctx context.Context, b *Bench) error {
		if err := b.set(ctx, "net.core.somaxconn", "5"); err != nil {
			return err
		}
		return prepare(ctx, b)
	}
	return leg
}

// somebodyAccepts is the control: the same load on a queue that is emptied.
func somebodyAccepts(f Family, backlog int) Leg {
	at := f.at(1, firstPort)
	n := backlog + 1 + tooMany
	return Leg{
		Name:    "with a server that accepts",
		Prepare: prepareServers(f, 1, at),
		Predict: func(context.Context, *Bench) (Prediction, error) {
			return Prediction{
				Value: n, Unit: "connections", Formula: "attempts", Inputs: []Input{{"attempts", n}},
			}, nil
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return b.pushMany(ctx, []netip.AddrPort{at}, n)
		},
	}
}

func (b *Bench) listenWithout(ctx context.Context, at netip.AddrPort, backlog int) error {
	if err := b.pair(ctx); err != nil {
		return err
	}
	s, err := b.Server.Listen(ctx, lab.ListenOptions{Addr: at, Backlog: backlog})
	b.Listeners = []lab.Socket{s}
	return err
}

// predictQueue: sk_acceptq_is_full is "more than the backlog wait".
func (b *Bench) predictQueue(ctx context.Context, backlog int) (Prediction, error) {
	somaxconn, err := b.number(ctx, "net.core.somaxconn")
	return Prediction{
		Value: min(backlog, somaxconn) + 1, Unit: "connections", Formula: "min(backlog, somaxconn) + 1",
		Inputs: []Input{{"backlog", backlog}, {"somaxconn", somaxconn}}, Silent: true,
	}, err
}

// overflow makes n connects at once and counts those that nobody answers.
func (b *Bench) overflow(ctx context.Context, at netip.AddrPort, n int) (Measurement, error) {
	before, err := b.Lab.Counters(ctx)
	if err != nil {
		return Measurement{}, err
	}
	r, err := b.Client.Connect(ctx, lab.ConnectOptions{
		To: []netip.AddrPort{at}, Count: n, Concurrent: true, KeepGoing: true, Timeout: patience,
	})
	if err != nil {
		return Measurement{}, err
	}
	after, err := b.Lab.Counters(ctx)
	b.note("ListenOverflows", int(after["TcpExt.ListenOverflows"]-before["TcpExt.ListenOverflows"]))
	return Measurement{
		Value: r.Opened, Refusals: r.Attempts - r.Opened,
		// the queue holds the other ends, established and never accepted
		Endpoints: 2 * r.Opened,
	}, err
}

// overflowsCounted holds the namespace's own counter against the refusals.
func overflowsCounted(b *Bench, m Measurement, _ memory.Evidence) string {
	if n := b.Notes["ListenOverflows"]; n != m.Refusals {
		return fmt.Sprintf("%d connects went unanswered, ListenOverflows grew by %d", m.Refusals, n)
	}
	return ""
}
