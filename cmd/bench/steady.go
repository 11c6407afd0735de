package main

import (
	"context"
	"fmt"
	"runtime"
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
	return nil
}
