package experiments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"brink/collector"
	"brink/collector/memory"
	"brink/experiments/lab"
)

// A Kernel is where evidence comes from: the tracing of the real one, or a
// test's.
type Kernel interface {
	// Watch begins to gather evidence about a lab's namespace, as part of the
	// named leg.
	Watch(ctx context.Context, l *lab.Lab, leg string) error
	// Join adds a further namespace to the leg that Watch began.
	Join(ctx context.Context, l *lab.Lab) error
	// Settle waits until everything told so far has been looked into, while the
	// sockets that it is about are still there.
	Settle(context.Context) error
	// Evidence ends that, once everything told so far has arrived: what the kernel
	// told of all these labs.
	Evidence(ctx context.Context, labs ...*lab.Lab) (memory.Evidence, error)
	// Lost is the evidence lost since brink began: of anything that all hooks
	// share, and what the kernel skipped of the named ones.
	Lost(hooks ...string) (uint64, error)
	// Mode is the weakest rung among the named hooks.
	Mode(hooks ...string) string
	// Source is what a hook rests on, in the kernel's words.
	Source(collector.Hook) string
}

// Runner runs experiments one after the other.
type Runner struct {
	Kernel Kernel
	Size   Size
	// Began, Ended and Progress are told what is going on; each may be nil.
	Began    func(Experiment)
	Ended    func(Result)
	Progress func(format string, args ...any)
}

// Run runs one experiment. It never fails: what went wrong is in the verdict.
func (r *Runner) Run(ctx context.Context, e Experiment) Result {
	began := time.Now()
	if r.Began != nil {
		r.Began(e)
	}
	var legs []LegResult
	for _, leg := range e.Legs(r.Size) {
		legs = append(legs, r.leg(ctx, e, leg))
	}
	result := Result{
		Experiment: e.Name, Question: e.Question, Limit: e.Limit.String(),
		Predicted: legs[0].Predicted, Measured: legs[0].Measured, Evidence: legs[0].Evidence, Findings: legs[0].Findings,
		Duration: time.Since(began).Round(time.Millisecond).Seconds(),
	}
	result.Verdict, result.Reason = together(legs)
	if len(legs) > 1 {
		result.Legs = legs
	}
	if r.Ended != nil {
		r.Ended(result)
	}
	return result
}

func (r *Runner) leg(ctx context.Context, e Experiment, leg Leg) (result LegResult) {
	result = LegResult{Name: leg.Name}
	defer result.end(time.Now())
	err := ctx.Err() // what is left out after an interrupt is part of the result: the rest alone cannot hold
	if err == nil {
		err = r.inLab(ctx, e, leg, &result)
	}
	for try := 1; isUnsteady(err) && try < triesOfLeg && ctx.Err() == nil; try++ {
		r.progress("%s, %s: again: %v", e.Name, leg.Name, err)
		result = LegResult{Name: leg.Name}
		err = r.inLab(ctx, e, leg, &result)
	}
	var skip *skipError
	switch {
	case err == nil:
	case errors.As(err, &skip):
		result.Verdict, result.Reason = Skipped, skip.Error()
	case ctx.Err() != nil:
		result.Verdict, result.Reason = Inconclusive, "interrupted"
	default:
		result.Verdict, result.Reason = Inconclusive, err.Error()
	}
	return result
}

// inLab runs a leg in a lab of its own, which is gone when this returns.
func (r *Runner) inLab(ctx context.Context, e Experiment, leg Leg, result *LegResult) (err error) {
	l, err := lab.New(ctx, lab.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	lostBefore, err := r.Kernel.Lost(e.Hooks...)
	if err != nil {
		return err
	}
	if err := r.Kernel.Watch(ctx, l, leg.Name); err != nil {
		return err
	}
	b := &Bench{Lab: l, Size: r.Size, join: r.Kernel.Join, mode: r.Kernel.Mode}
	defer func() { err = errors.Join(err, b.closeLabs()) }()
	p, m, pushErr := r.push(ctx, e, leg, b, result)
	evidence, err := r.evidence(ctx, e, b, lostBefore) // also after a failure: it ends what Watch began
	if err := cmp.Or(pushErr, err); err != nil {
		return err
	}
	result.evidence(evidence, r.Kernel.Source)
	result.Verdict, result.Reason = judge(cmp.Or(leg.Limit, e.Limit), p, m, evidence)
	if result.Verdict == Held && leg.Inspect != nil {
		if reason := leg.Inspect(b, m, evidence.Evidence); reason != "" {
			result.Verdict, result.Reason = Refuted, reason
		}
	}
	return nil
}

// push predicts, then pushes. At its end every socket of the lab is closed,
// since an endpoint's record leaves when the endpoint ends.
func (r *Runner) push(ctx context.Context, e Experiment, leg Leg, b *Bench, result *LegResult) (p Prediction, m Measurement, err error) {
	if err := leg.Prepare(ctx, b); err != nil {
		return p, m, err
	}
	if p, err = leg.Predict(ctx, b); err != nil {
		return p, m, err
	}
	result.predicted(p)
	r.progress("%s, %s: predicted %d %s = %s %s", e.Name, leg.Name, p.Value, p.Unit, p.Formula, formatInputs(p.Inputs))
	if m, err = leg.Push(ctx, b); err != nil {
		return p, m, err
	}
	result.measured(p, m)
	r.progress("%s, %s: measured %d %s, %s", e.Name, leg.Name, m.Value, p.Unit, errnoWord(m.Errno))
	if err := r.Kernel.Settle(ctx); err != nil {
		return p, m, err
	}
	return p, m, b.closeAll(ctx)
}

// evidence takes what the kernel has told of a leg's labs.
func (r *Runner) evidence(ctx context.Context, e Experiment, b *Bench, lostBefore uint64) (Evidence, error) {
	told, err := r.Kernel.Evidence(ctx, append([]*lab.Lab{b.Lab}, b.labs...)...)
	if err != nil {
		return Evidence{}, fmt.Errorf("wait for the kernel's evidence: %w", err)
	}
	lost, err := r.Kernel.Lost(e.Hooks...)
	lost -= min(lost, lostBefore) // what was skipped may have been made good since
	// in a lab every endpoint is younger than the tracing
	lost += uint64(told.Partial)
	return Evidence{Evidence: told, Mode: r.Kernel.Mode(e.Hooks...), Lost: lost}, err
}

func (r *Runner) progress(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(format, args...)
	}
}

func formatInputs(in []Input) (s string) {
	for _, input := range in {
		s += fmt.Sprintf(" %s=%v", input.Name, input.Value)
	}
	if s == "" {
		return s
	}
	return "with" + s
}

// skipError is why an experiment cannot be run on this host.
type skipError struct{ reason string }

func (s *skipError) Error() string { return s.reason }

// unsteadyError is a machine that does the same work in another time from one
// moment to the next: the leg is run again, prediction and all.
type unsteadyError struct{ reason string }

func (u *unsteadyError) Error() string { return u.reason }

func isUnsteady(err error) bool {
	var unsteady *unsteadyError
	return errors.As(err, &unsteady)
}

// triesOfLeg is how often a leg is run on a machine that is not steady.
const triesOfLeg = 4

func skipf(format string, args ...any) error { return &skipError{fmt.Sprintf(format, args...)} }
