package experiments

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"brink/collector"
	"brink/collector/limits"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "concurrency-model", Group: Resources, Takes: 3 * time.Second,
		Question: "thread, goroutine or event loop per connection: which limit is met first?",
		Expect: "threads meet RLIMIT_NPROC (EAGAIN) unless RLIMIT_NOFILE is nearer; goroutines and an event loop " +
			"meet RLIMIT_NOFILE (EMFILE); memory a connection: thread > goroutine > event loop",
		Limit: limits.Threads,
		Hooks: []string{"state", "descriptors", "threads"},
		Legs: func(s Size) []Leg {
			tasks, descriptors, connections := uint64(128), uint64(256), 300
			if s.Full {
				tasks, descriptors, connections = 1024, 2048, 3000
			}
			return []Leg{
				untilRefused(threadModel, limits.Threads, tasks, descriptors),
				untilRefused(goroutineModel, limits.FileDescriptors, tasks, descriptors),
				untilRefused(loopModel, limits.FileDescriptors, tasks, descriptors),
				named("threads, fewer descriptors", untilRefused(threadModel, limits.FileDescriptors, tasks, tasks/2)),
				sideBySide(connections), idleThread(connections),
			}
		},
	})
}

func named(name string, leg Leg) Leg {
	leg.Name = name
	return leg
}

// untilRefused: the same two settings for each model's server, and one
// connection more than it can hold.
func untilRefused(model string, limit collector.Limit, tasks, descriptors uint64) Leg {
	at := IPv4.at(1, firstPort)
	return Leg{
		Name: model, Limit: limit,
		Prepare: func(ctx context.Context, b *Bench) (err error) {
			if b.Client, err = b.worker(ctx, lab.WorkerOptions{}); err != nil {
				return err
			}
			if b.Server, err = b.worker(ctx, lab.WorkerOptions{NoFile: descriptors}); err != nil {
				return err
			}
			started, err := startModel.Run(ctx, b.Server, modelOptions{Model: model, At: at, Tasks: tasks})
			if err == nil && started.Unable != "" && model == threadModel {
				err = skipf("RLIMIT_NPROC counts a user's tasks, and the server cannot become a user of its own (root can): %s", started.Unable)
			}
			return err
		},
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			s, err := readModelSettings(ctx, b.Server)
			return predictModel(model, s), err
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			s, err := readModelSettings(ctx, b.Server)
			if err != nil {
				return Measurement{}, err
			}
			held, err := b.holdModel(ctx, b.Server, at, predictModel(model, s).Value+1)
			if err != nil {
				return Measurement{}, err
			}
			return b.endModel(ctx, b.Server, held)
		},
	}
}

// modelSettings are what bounds a server: the process' two limits, and what
// counts against them.
type modelSettings struct {
	Tasks       taskLimit
	Descriptors lab.Descriptors
}

func readModelSettings(ctx context.Context, server *lab.Worker) (s modelSettings, err error) {
	if s.Tasks, err = readTaskLimit.Run(ctx, server, struct{}{}); err != nil {
		return s, err
	}
	s.Descriptors, err = server.FreeDescriptors(ctx)
	return s, err
}

// predictModel: a connection takes a descriptor in every model, and a task in
// one. copy_process refuses a user's task past RLIMIT_NPROC, whichever process
// it is for.
func predictModel(model string, s modelSettings) Prediction {
	p := Prediction{
		Value: int(s.Descriptors.Free()), Unit: "connections", Formula: "RLIMIT_NOFILE - open", Errno: syscall.EMFILE,
		Inputs: []Input{{"RLIMIT_NOFILE", s.Descriptors.Limit}, {"open", s.Descriptors.Open}},
	}
	if model != threadModel {
		return p
	}
	p.Formula = "min(RLIMIT_NPROC - tasks, RLIMIT_NOFILE - open)"
	p.Inputs = append([]Input{{"RLIMIT_NPROC", s.Tasks.Limit}, {"tasks", s.Tasks.Running}}, p.Inputs...)
	if free := s.Tasks.free(); free < uint64(p.Value) {
		p.Value, p.Errno = int(free), syscall.EAGAIN
	}
	return p
}

// heldModel is what became of the connections to one model's server.
type heldModel struct {
	client   lab.ConnectResult
	served   modelAccepted
	answered int
}

// holdModel brings n connections to a server, has it take them until it is
// refused, and asks each that is served for an answer.
func (b *Bench) holdModel(ctx context.Context, server *lab.Worker, at netip.AddrPort, n int) (h heldModel, err error) {
	if h.client, err = b.Client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{at}, Count: n}); err != nil {
		return h, err
	}
	if h.served, err = acceptModel.Run(ctx, server, h.client.Opened); err != nil {
		return h, err
	}
	h.answered, err = b.Client.EchoAll(ctx, lab.EchoOptions{Sockets: h.client.Sockets, Want: h.served.Served})
	return h, err
}

// endModel closes the server's ends, counts those that it had never taken from
// its queue, and sums up.
func (b *Bench) endModel(ctx context.Context, server *lab.Worker, h heldModel) (Measurement, error) {
	waiting, err := closeModel.Run(ctx, server, h.client.Opened-h.served.Accepted)
	m := Measurement{
		Value: h.answered, Errno: cmp.Or(h.client.Errno, h.served.Errno),
		Endpoints: h.client.Opened + h.served.Accepted + waiting, Refusals: h.client.Attempts - h.client.Opened,
	}
	if h.served.Errno != 0 {
		m.Refusals++
	}
	if h.answered != h.served.Served {
		m.Problem = fmt.Sprintf("%d connections are served, %d answered", h.served.Served, h.answered)
	}
	return m, err
}
