package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"brink/collector/limits"
	"brink/collector/memory"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "accept-queue", Group: Queues, Takes: 3 * time.Second,
		Question: "how many connections wait when nobody accepts?",
		Expect: "backlog + 1 established; further SYNs are dropped and counted in ListenOverflows; " +
			"with tcp_abort_on_overflow a client past its SYN is reset",
		Limit: limits.AcceptQueue,
		Hooks: []string{"state", "accept_queue"},
		Legs: func(s Size) []Leg {
			backlog := 8
			if s.Full {
				backlog = 4096
			}
			return []Leg{
				nobodyAccepts(IPv4, backlog), nobodyAccepts(IPv6, backlog),
				capped(IPv4),
				lateReset(IPv4, backlog), lateReset(IPv6, backlog),
				somebodyAccepts(IPv4, backlog),
			}
		},
	})
}

const (
	tooMany = 3 // connects beyond what the queue is to hold
	// patience is less than the time after which a SYN is repeated (1 s, RFC
	// 6298). A slow machine repeats some nonetheless: they are counted.
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
			return b.listenWithout(ctx, lab.ListenOptions{Addr: at, Backlog: backlog})
		},
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) { return b.predictQueue(ctx, backlog, 0) },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			p, err := b.predictQueue(ctx, backlog, 0)
			if err != nil {
				return Measurement{}, err
			}
			return b.overflow(ctx, at, p.Value)
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

func (b *Bench) listenWithout(ctx context.Context, o lab.ListenOptions) error {
	if err := b.pair(ctx); err != nil {
		return err
	}
	s, err := b.Server.Listen(ctx, o)
	b.Listeners = []lab.Socket{s}
	return err
}

// predictQueue: sk_acceptq_is_full is "more than the backlog wait". It refuses
// a packet, SYN or ACK.
func (b *Bench) predictQueue(ctx context.Context, backlog int, end syscall.Errno) (Prediction, error) {
	somaxconn, err := b.number(ctx, "net.core.somaxconn")
	return Prediction{
		Value: min(backlog, somaxconn) + 1, Unit: "connections", Formula: "min(backlog, somaxconn) + 1",
		Inputs: []Input{{"backlog", backlog}, {"somaxconn", somaxconn}}, Errno: end, Apart: true,
	}, err
}

// overflow fills the queue, sends more SYNs, and counts those that nobody answers.
func (b *Bench) overflow(ctx context.Context, at netip.AddrPort, room int) (m Measurement, err error) {
	if m, err = b.fillQueue(ctx, at, room); err != nil {
		return m, err
	}
	err = b.countOverflows(ctx, func() error {
		r, err := b.Client.Connect(ctx, lab.ConnectOptions{
			To: []netip.AddrPort{at}, Count: tooMany, Concurrent: true, KeepGoing: true, Timeout: patience,
		})
		m = m.plus(Measurement{Value: r.Opened, Refusals: r.Attempts - r.Opened, Errno: told(r.Errnos)})
		return err
	})
	if err != nil {
		return m, err
	}
	m.Refusals += b.Notes["TCPSynRetrans"]
	waiting, err := b.emptyQueue(ctx, m.Value)
	m.Endpoints = m.Value + waiting
	if waiting != m.Value {
		m.Problem = fmt.Sprintf("%d connects were answered, %d connections waited in the queue", m.Value, waiting)
	}
	return m, err
}

// fillQueue connects one by one and waits until both ends of all are
// established: a last ACK that is late takes its place too late for the SYNs
// that follow, which then find room (seen on slow 6.1 guests).
func (b *Bench) fillQueue(ctx context.Context, at netip.AddrPort, n int) (Measurement, error) {
	r, err := b.Client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{at}, Count: n})
	if err != nil {
		return Measurement{}, err
	}
	m := Measurement{Value: r.Opened, Refusals: r.Attempts - r.Opened, Errno: told(r.Errnos)}
	return m, b.await(ctx, func() (bool, error) {
		counters, err := b.Lab.Counters(ctx)
		return int(counters["Tcp.CurrEstab"]) >= 2*r.Opened, err
	})
}

// told is what the program was told of its refusals; silence is EINPROGRESS.
func told(errnos map[syscall.Errno]int) syscall.Errno {
	for errno := range errnos {
		if errno != syscall.EINPROGRESS {
			return errno
		}
	}
	return 0
}

// emptyQueue accepts what has waited, and says how much that was. It waits for
// as many as are wanted: the last ACK may still be under way.
func (b *Bench) emptyQueue(ctx context.Context, want int) (int, error) {
	first, err := b.Server.AcceptN(ctx, b.Listeners[0].Handle, lab.AcceptOptions{Count: want})
	if err != nil {
		return 0, err
	}
	more, err := b.Server.AcceptN(ctx, b.Listeners[0].Handle, lab.AcceptOptions{Count: 1 << 16, Timeout: time.Millisecond})
	return first.Accepted + more.Accepted, err
}

// countOverflows notes by how much the namespace's own counters grew.
func (b *Bench) countOverflows(ctx context.Context, push func() error) error {
	before, err := b.Lab.Counters(ctx)
	if err != nil {
		return err
	}
	if err := push(); err != nil {
		return err
	}
	after, err := b.Lab.Counters(ctx)
	for _, name := range []string{"ListenOverflows", "TCPSynRetrans"} {
		b.note(name, int(after["TcpExt."+name]-before["TcpExt."+name]))
	}
	return err
}

// overflowsCounted holds the namespace's own counter against the refusals.
func overflowsCounted(b *Bench, m Measurement, _ memory.Evidence) string {
	if n := b.Notes["ListenOverflows"]; n != m.Refusals {
		return fmt.Sprintf("measured %d refusals, ListenOverflows grew by %d", m.Refusals, n)
	}
	return ""
}
