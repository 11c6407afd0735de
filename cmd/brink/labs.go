package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"brink/bpf"
	"brink/collector"
	"brink/collector/memory"
	"brink/collector/otlp"
	"brink/experiments"
	"brink/experiments/lab"
	"brink/loader"

	"go.opentelemetry.io/otel/attribute"
)

// labKernel is the tracing of experiments: programs that let only the labs'
// namespaces pass, evidence in memory, spans on their way out. It implements
// experiments.Kernel.
type labKernel struct {
	tracer   *loader.Tracer
	memory   *memory.Sink
	collect  *collector.Collector
	exporter *otlp.Exporter
	watch    *collector.Watch

	stop     context.CancelFunc
	finished chan error

	experiment *otlp.Span
	leg        *otlp.Span

	// Each lab's namespace stays open until the end of the run, so that none
	// gets the inode number of an earlier one, whose timewait sockets may still
	// be told of.
	namespaces []*os.File
}

// flushPatience is how long the spans of a run may take to leave at its end.
const flushPatience = 5 * time.Second

func traceLabs(ctx context.Context, rung loader.Rung, endpoints uint32, spans string) (*labKernel, error) {
	exporter, err := otlp.New(ctx, otlp.Options{File: spans, ServiceVersion: version})
	if err != nil {
		return nil, usageError{err}
	}
	tracer, err := loader.Attach(loader.Options{Best: rung, Endpoints: endpoints, Filter: loader.Filter{Dynamic: true}})
	if err != nil {
		return nil, err
	}
	k := &labKernel{
		tracer: tracer, exporter: exporter, memory: memory.New(),
		watch: collector.NewWatch(polled(tracer)...), finished: make(chan error, 1),
	}
	k.collect = newCollector(tracer, nil, k.memory, exporter)
	// not the caller's context: what an interrupted run has told is still read
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	k.stop = stop
	go func() { k.finished <- k.collect.Run(running) }()
	return k, nil
}

func (k *labKernel) runner(size experiments.Size) *experiments.Runner {
	return &experiments.Runner{
		Kernel: k, Size: size, Progress: progress,
		Began: func(e experiments.Experiment) {
			k.experiment = k.exporter.StartExperiment(e.Name,
				attribute.String("brink.question", e.Question), attribute.String(collector.KeyLimit, e.Limit.String()))
		},
		Ended: func(r experiments.Result) {
			var err error
			if r.Verdict == experiments.Refuted {
				err = errors.New(r.Reason)
			}
			k.experiment.End(err, attribute.String("brink.verdict", string(r.Verdict)))
			progress("%s: %s", r.Experiment, verdictInWords(r))
		},
	}
}

func verdictInWords(r experiments.Result) string {
	if r.Reason == "" {
		return string(r.Verdict)
	}
	return fmt.Sprintf("%s: %s", r.Verdict, r.Reason)
}

// Watch implements experiments.Kernel.
func (k *labKernel) Watch(ctx context.Context, l *lab.Lab, leg string) error {
	k.leg = k.experiment.StartLeg(leg)
	return k.Join(ctx, l)
}

// Join implements experiments.Kernel.
func (k *labKernel) Join(ctx context.Context, l *lab.Lab) error {
	namespace, err := os.Open(l.NetnsPath())
	if err != nil {
		return fmt.Errorf("hold the lab's namespace: %w", err)
	}
	k.namespaces = append(k.namespaces, namespace)
	k.exporter.Adopt(l.Netns(), k.leg)
	k.lookAtCounters(ctx, l)
	return k.tracer.AllowNetns(l.Netns())
}

// Settle implements experiments.Kernel.
func (k *labKernel) Settle(ctx context.Context) error { return k.collect.Sync(ctx) }

// Evidence implements experiments.Kernel.
func (k *labKernel) Evidence(ctx context.Context, labs ...*lab.Lab) (memory.Evidence, error) {
	k.lookAtCounters(ctx, labs...)
	err := k.collect.Sync(ctx)
	k.leg.End(err)
	var numbers []uint32
	for _, l := range labs {
		k.exporter.Release(l.Netns())
		err = errors.Join(err, k.tracer.ForbidNetns(l.Netns()))
		numbers = append(numbers, l.Netns())
	}
	return k.memory.Take(numbers...), err
}

// lookAtCounters reads the labs' counters of what no hook tells.
func (k *labKernel) lookAtCounters(ctx context.Context, labs ...*lab.Lab) {
	namespaces := map[uint32]string{}
	for _, l := range labs {
		namespaces[l.Netns()] = l.NetnsPath()
	}
	k.watch.Look(ctx, namespaces, k.collect)
}

// Lost implements experiments.Kernel.
func (k *labKernel) Lost(hooks ...string) (uint64, error) {
	s, err := k.collect.Summary()
	return s.Total() + k.tracer.Skipped(hooks...), err
}

// Mode implements experiments.Kernel.
func (k *labKernel) Mode(hooks ...string) string { return k.tracer.Weakest(hooks...).String() }

// Source implements experiments.Kernel.
func (k *labKernel) Source(h collector.Hook) string { return k.tracer.SourceOf(bpf.BrinkHook(h)) }

// close reads what is left, sends the spans off, and detaches.
func (k *labKernel) close() error {
	k.stop()
	err := <-k.finished
	flushSpans(k.exporter)
	for _, namespace := range k.namespaces {
		namespace.Close()
	}
	return errors.Join(err, k.tracer.Close())
}

// flushSpans sends off what is left, and tells what could not be.
func flushSpans(e *otlp.Exporter) {
	ctx, cancel := context.WithTimeout(context.Background(), flushPatience)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "brink: not all spans have left: %v\n", err)
	}
	if n := e.Dropped() + e.Failed(); n > 0 {
		fmt.Fprintf(os.Stderr, "brink: %d spans were dropped\n", n)
	}
}
