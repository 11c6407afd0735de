package experiments

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/memory"
	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

// fakeKernel is the second Kernel: it tells what a test has it tell, of labs
// that are real.
type fakeKernel struct {
	told memory.Evidence
	mode string // "fentry" when empty
	lost uint64 // by each leg

	// errors of the method of that name
	watchErr, settleErr, evidenceErr, lostErr error
	// ended, when not nil, is called once a leg's evidence has been given.
	ended func()

	watched  []uint32 // namespaces
	legs     []string
	released int
	total    uint64
}

// noKernel is a kernel that cannot be traced.
func noKernel() *fakeKernel { return &fakeKernel{mode: modeNone} }

func (k *fakeKernel) Watch(_ context.Context, l *lab.Lab, leg string) error {
	k.watched, k.legs = append(k.watched, l.Netns()), append(k.legs, leg)
	return k.watchErr
}

func (k *fakeKernel) Join(context.Context, *lab.Lab) error { return nil }

func (k *fakeKernel) Settle(context.Context) error { return k.settleErr }

func (k *fakeKernel) Evidence(context.Context, ...*lab.Lab) (memory.Evidence, error) {
	k.released++
	k.total += k.lost
	if k.ended != nil {
		defer k.ended()
	}
	return k.told, k.evidenceErr
}

func (k *fakeKernel) Lost(...string) (uint64, error) { return k.total, k.lostErr }

func (k *fakeKernel) Mode(...string) string {
	if k.mode == "" {
		return "fentry"
	}
	return k.mode
}

func (k *fakeKernel) Source(collector.Hook) string { return "fake" }

// nothingLeft wants no process in any namespace that the kernel watched.
func (k *fakeKernel) nothingLeft(t *testing.T) {
	t.Helper()
	for _, netns := range k.watched {
		var left []string
		for range 100 {
			if left = inNetns(netns); len(left) == 0 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if len(left) > 0 {
			t.Errorf("in namespace %d there is still %v", netns, left)
		}
	}
}

func inNetns(netns uint32) (processes []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == fmt.Sprintf("net:[%d]", netns) {
			processes = append(processes, link)
		}
	}
	return processes
}

// fourPorts is an experiment of one leg, which ends after four connections.
func fourPorts(edit ...func(*Leg)) Experiment {
	return oneLeg(exhaustPorts(IPv4, func() (portRange, error) {
		return portRange{low: "40000", high: "40003"}, nil
	}), edit...)
}

// fourPortsTold is what a kernel tells of it.
func fourPortsTold() memory.Evidence {
	return memory.Evidence{
		Connections: 8,
		Hits:        []memory.Hit{hit(limits.EphemeralPorts, unix.EADDRNOTAVAIL, 1)},
	}
}

func oneLeg(leg Leg, edit ...func(*Leg)) Experiment {
	for _, f := range edit {
		f(&leg)
	}
	e := complete()
	e.Limit, e.Legs = limits.EphemeralPorts, func(Size) []Leg { return []Leg{leg} }
	return e
}

// prepared does something more once the lab is prepared, so that the prediction
// takes it into account.
func prepared(also func(context.Context, *Bench) error) func(*Leg) {
	return func(leg *Leg) {
		prepare := leg.Prepare
		leg.Prepare = func(ctx context.Context, b *Bench) error {
			if err := prepare(ctx, b); err != nil {
				return err
			}
			return also(ctx, b)
		}
	}
}

// behindItsBack does something once the prediction has been made.
func behindItsBack(also func(context.Context, *Bench) error) func(*Leg) {
	return func(leg *Leg) {
		predict := leg.Predict
		leg.Predict = func(ctx context.Context, b *Bench) (Prediction, error) {
			p, err := predict(ctx, b)
			if err == nil {
				err = also(ctx, b)
			}
			return p, err
		}
	}
}

// setting is one of the above, for sysctls.
func setting(settings ...string) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) error { return b.set(ctx, settings...) }
}

// run wants a lab to be had, and gives back what became of the experiment.
func run(t *testing.T, k *fakeKernel, e Experiment) Result {
	t.Helper()
	newBench(t) // or skip
	r := (&Runner{Kernel: k}).Run(deadline(t), e)
	k.nothingLeft(t)
	return r
}
