package experiments

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"brink/collector/limits"
	"brink/collector/memory"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "accept-rate", Group: Queues, Takes: 4 * time.Second,
		Question: "how long does a backlog last when connections arrive faster than they are accepted?",
		Expect:   "the queue fills in (backlog + 1) / (arrival - accept) seconds; then it overflows",
		Limit:    limits.AcceptQueue,
		Hooks:    []string{"state", "accept_queue"},
		Legs: func(s Size) []Leg {
			slow, fast := rates{19, 20 * time.Millisecond, 40 * time.Millisecond}, rates{19, 20 * time.Millisecond, 10 * time.Millisecond}
			if s.Full {
				slow, fast = rates{4096, 400 * time.Microsecond, 800 * time.Microsecond}, rates{4096, 400 * time.Microsecond, 200 * time.Microsecond}
			}
			return []Leg{slow.overtaken(IPv4), slow.overtaken(IPv6), fast.keptUp(IPv4)}
		},
	})
}

// rates are a backlog, one connection each so often, and one accept() each so
// often. Both keep to a schedule: who is late catches up, so that a slow machine
// changes the moments and hardly the rates.
type rates struct {
	backlog         int
	arrival, accept time.Duration
}

// rateTolerance: a pause of either side of 200 ms, a fourth of the whole push.
const rateTolerance = 0.25

func paceRate(every time.Duration) float64 { return float64(time.Second) / float64(every) }

// predict: every second the queue grows by what arrives and is not accepted.
func (r rates) predict(ctx context.Context, b *Bench) (Prediction, error) {
	queue, err := b.predictQueue(ctx, r.backlog, 0)
	arrival, accept := paceRate(r.arrival), paceRate(r.accept)
	seconds := float64(queue.Value) / (arrival - accept)
	return Prediction{
		Value: int(math.Round(arrival * seconds)), Unit: "connections",
		Formula: "arrival × seconds, seconds = (min(backlog, somaxconn) + 1) / (arrival - accept)",
		Inputs: append(queue.Inputs, Input{"arrival/s", arrival}, Input{"accept/s", accept},
			Input{"seconds", math.Round(seconds*1000) / 1000}),
		Apart: true, Within: rateTolerance,
	}, err
}

// overtaken: the server accepts at half the rate at which connections arrive.
func (r rates) overtaken(f Family) Leg {
	at := f.at(1, firstPort)
	return Leg{
		Name:    f.String(),
		Prepare: r.prepare(f, at),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) { return r.predict(ctx, b) },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			p, err := r.predict(ctx, b)
			if err != nil {
				return Measurement{}, err
			}
			return r.race(ctx, b, at, 2*p.Value)
		},
		Inspect: r.filledInTime,
	}
}

// keptUp is the control: a server that is faster than its clients has no queue.
func (r rates) keptUp(f Family) Leg {
	at := f.at(1, firstPort)
	n := 2 * (r.backlog + 1)
	return Leg{
		Name:    "accepted faster than they arrive",
		Prepare: r.prepare(f, at),
		Predict: func(context.Context, *Bench) (Prediction, error) {
			return Prediction{
				Value: n, Unit: "connections", Formula: "attempts", Inputs: []Input{
					{"attempts", n}, {"backlog", r.backlog}, {"arrival/s", paceRate(r.arrival)}, {"accept/s", paceRate(r.accept)},
				},
			}, nil
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) { return r.race(ctx, b, at, n) },
	}
}

func (r rates) prepare(f Family, at netip.AddrPort) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) error {
		if err := b.addAddresses(ctx, f, 1); err != nil {
			return err
		}
		return b.listenWithout(ctx, lab.ListenOptions{Addr: at, Backlog: r.backlog})
	}
}

// race lets client and server run until a connection is refused, or n stand.
func (r rates) race(ctx context.Context, b *Bench, at netip.AddrPort, n int) (m Measurement, err error) {
	stop, accepting := r.beginAccepting(ctx, b)
	err = b.countOverflows(ctx, func() error {
		c, err := b.Client.Connect(ctx, lab.ConnectOptions{
			To: []netip.AddrPort{at}, Count: n, Every: r.arrival, Timeout: patience,
		})
		m = Measurement{Value: c.Opened, Refusals: c.Attempts - c.Opened, Errno: told(c.Errnos)}
		b.note("milliseconds", int((c.Elapsed - time.Duration(m.Refusals)*patience).Milliseconds()))
		return err
	})
	stop()
	if err = errors.Join(err, <-accepting); err != nil {
		return m, err
	}
	if m.Refusals > 0 {
		m.Findings = []Finding{{"full after", float64(b.Notes["milliseconds"]) / 1000, "s"}}
	}
	m.Refusals += b.Notes["TCPSynRetrans"]
	return m, b.acceptRest(ctx, &m)
}

// beginAccepting has the server accept one connection each so often, until it is
// stopped; the channel then gives what went wrong.
func (r rates) beginAccepting(ctx context.Context, b *Bench) (stop func(), accepting <-chan error) {
	stopped, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		// between two arrivals: who looks at the queue in the very moment in which one
		// comes and one is taken may see it full (brink does, the kernel not)
		time.Sleep(r.arrival / 2)
		start, done := time.Now(), 0
		for {
			due := 1 + int(time.Since(start)/r.accept)
			_, err := b.Server.AcceptN(ctx, b.Listeners[0].Handle, lab.AcceptOptions{Count: due - done, Timeout: time.Millisecond})
			if done = due; err != nil {
				failed <- err
				return
			}
			select {
			case <-stopped:
				failed <- nil
				return
			case <-time.After(time.Until(start.Add(time.Duration(due) * r.accept))):
			}
		}
	}()
	return func() { close(stopped) }, failed
}

// acceptRest takes what still waits: every connection that stood has its other
// end at the server.
func (b *Bench) acceptRest(ctx context.Context, m *Measurement) error {
	accepted := 0
	err := b.await(ctx, func() (bool, error) {
		if _, err := b.emptyQueue(ctx, 0); err != nil {
			return false, err
		}
		var err error
		accepted, err = b.accepted(ctx)
		return accepted >= m.Value, err
	})
	m.Endpoints = m.Value + accepted
	return err
}

// filledInTime holds the clock, the namespace's counter and the number of
// connections that stood against the rates.
func (r rates) filledInTime(b *Bench, m Measurement, e memory.Evidence) string {
	want := float64(m.Value) * r.arrival.Seconds() * 1000
	if got := float64(b.Notes["milliseconds"]); math.Abs(got-want) > rateTolerance*want {
		return fmt.Sprintf("%d connections, one each %v, took %.0f ms", m.Value, r.arrival, got)
	}
	return overflowsCounted(b, m, e)
}
