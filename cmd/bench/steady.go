package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"brink/loader"
)

// runSteady keeps all CPUs busy with nothing but connections for a minute.
// Nothing may get lost.
func (b *benchmark) runSteady(ctx context.Context) error {
	t := b.tracerNamed(agent)
	if t == nil {
		return nil
	}
	l := load{"reset, all CPUs", reset, runtime.NumCPU()}
	r, err := b.measure(ctx, l, *t, amount{during: b.size.steady})
	if err != nil {
		return fmt.Errorf("full churn: %w", err)
	}
	b.say("full churn: %.0f connections a second, %s at %.1f%% of a CPU%s", float64(r.Connections)/r.seconds, t.name, 100*r.share(), r.seen())
	b.steady = &r
	return nil
}

// runStarts measures from a process's start to the word that it is attached.
func (b *benchmark) runStarts(ctx context.Context) error {
	t := b.tracerNamed(agent)
	if t == nil {
		return nil
	}
	for range b.size.starts {
		at, err := startTracer(ctx, *t, anyCPU)
		if err != nil {
			return err
		}
		b.starts = append(b.starts, float64(at.start)/1e6)
		err = at.stop()
		at.close()
		if err != nil {
			return err
		}
	}
	b.say("start: %.0f ms", spreadOf(b.starts).Median)
	return b.runAttach()
}

// attach is what the agent's start mostly consists of.
type attach struct {
	Milliseconds float64 `json:"ms"`
	Loading      float64 `json:"loading_ms"`            // of programs, the kernel's verifier included
	Verified     int     `json:"verified_instructions"` // that it followed
}

func (a attach) String() string {
	return fmt.Sprintf("attaching %.0f, in it loading programs %.0f (the verifier follows %d instructions)", a.Milliseconds, a.Loading, a.Verified)
}

// runAttach attaches the agent's programs in this process.
func (b *benchmark) runAttach() error {
	rung, err := loader.ParseRung(b.rung)
	if err != nil {
		return err
	}
	var whole, loading []float64
	for range b.size.starts {
		begun := time.Now()
		t, err := loader.Attach(loader.Options{Best: rung, Tally: true})
		if err != nil {
			return err
		}
		whole = append(whole, float64(time.Since(begun))/1e6)
		loading = append(loading, float64(t.Loading())/1e6)
		b.attach.Verified = t.Verified()
		t.Close()
	}
	b.attach.Milliseconds, b.attach.Loading = spreadOf(whole).Median, spreadOf(loading).Median
	return nil
}
