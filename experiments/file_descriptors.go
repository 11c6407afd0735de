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
		Name: "file-descriptors", Group: Resources, Takes: 2 * time.Second,
		Question: "how many sockets can one process have?",
		Expect:   "RLIMIT_NOFILE minus those open before; then EMFILE, at socket() and at accept()",
		Limit:    limits.FileDescriptors,
		Hooks:    []string{"state", "descriptors"},
		Legs: func(s Size) []Leg {
			limit := uint64(64)
			if s.Full {
				limit = 1024 // the soft limit that most programs start with
			}
			return []Leg{untilSocketFails(limit), untilAcceptFails(limit), oneDescriptorMore(limit)}
		},
	})
}

func untilSocketFails(limit uint64) Leg {
	return Leg{
		Name: "socket()",
		Prepare: func(ctx context.Context, b *Bench) (err error) {
			b.Client, err = b.worker(ctx, lab.WorkerOptions{NoFile: limit})
			return err
		},
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			return predictDescriptors(ctx, b.Client, syscall.EMFILE)
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			until, err := b.Client.OpenSocketsUntilRefused(ctx)
			if err != nil {
				return Measurement{}, err
			}
			return Measurement{Value: until.Sockets.Count, Errno: until.Refusal.Errno, Refusals: 1}, nil
		},
	}
}

// predictDescriptors: every number below the limit that is not open can be.
func predictDescriptors(ctx context.Context, w *lab.Worker, end syscall.Errno) (Prediction, error) {
	d, err := w.FreeDescriptors(ctx)
	return Prediction{
		Value: int(d.Free()), Unit: "sockets", Formula: "RLIMIT_NOFILE - open",
		Inputs: []Input{{"RLIMIT_NOFILE", d.Limit}, {"open", d.Open}}, Errno: end,
	}, err
}

// untilAcceptFails: accept4 takes its descriptor before it looks at the queue,
// so the connection that finds none stays in the queue.
func untilAcceptFails(limit uint64) Leg {
	at := IPv4.at(1, firstPort)
	return Leg{
		Name:    "accept()",
		Prepare: prepareAcceptor(at, limit),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			return predictDescriptors(ctx, b.Server, syscall.EMFILE)
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			d, err := b.Server.FreeDescriptors(ctx)
			if err != nil {
				return Measurement{}, err
			}
			return b.acceptAll(ctx, at, int(d.Free())+1)
		},
	}
}

// oneDescriptorMore is the control: the same load with room for it.
func oneDescriptorMore(limit uint64) Leg {
	at := IPv4.at(1, firstPort)
	return Leg{
		Name:    "one descriptor more",
		Prepare: prepareAcceptor(at, limit+1),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			return predictDescriptors(ctx, b.Server, 0)
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			d, err := b.Server.FreeDescriptors(ctx)
			if err != nil {
				return Measurement{}, err
			}
			return b.acceptAll(ctx, at, int(d.Free()))
		},
	}
}

func prepareAcceptor(at netip.AddrPort, limit uint64) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) (err error) {
		if b.Server, err = b.worker(ctx, lab.WorkerOptions{NoFile: limit}); err != nil {
			return err
		}
		if b.Client, err = b.worker(ctx, lab.WorkerOptions{}); err != nil {
			return err
		}
		s, err := b.Server.Listen(ctx, lab.ListenOptions{Addr: at})
		b.Listeners = []lab.Socket{s}
		return err
	}
}

// acceptAll brings n connections to the server and has it accept them all.
func (b *Bench) acceptAll(ctx context.Context, at netip.AddrPort, n int) (Measurement, error) {
	c, err := b.Client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{at}, Count: n})
	if err != nil {
		return Measurement{}, err
	}
	a, err := b.Server.AcceptN(ctx, b.Listeners[0].Handle, lab.AcceptOptions{Count: n})
	if err != nil {
		return Measurement{}, err
	}
	m := Measurement{Value: a.Accepted, Errno: a.Errno}
	if a.Errno != 0 {
		m.Refusals = 1
	}
	if c.Opened != n {
		m.Problem = "not every connection came about: " + errnoWord(c.Errno)
	}
	waiting, err := b.stillWaiting(ctx, c.Opened-a.Accepted)
	m.Endpoints = c.Opened + a.Accepted + waiting
	return m, err
}

// stillWaiting has the server give its descriptors back, so that it can accept
// and count what an accept() without one has left in the queue.
func (b *Bench) stillWaiting(ctx context.Context, want int) (int, error) {
	if _, err := b.Server.CloseAccepted(ctx, b.Listeners[0].Handle, lab.CloseReset); err != nil {
		return 0, err
	}
	return b.emptyQueue(ctx, want)
}
