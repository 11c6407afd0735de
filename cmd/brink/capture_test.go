package main

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"brink/collector"
	"brink/experiments/lab"
	"brink/loader"
)

// capture keeps copies of facts.
type capture struct {
	mu    sync.Mutex
	facts []collector.Fact
}

// Accept implements collector.Sink.
func (c *capture) Accept(f collector.Fact) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch f := f.(type) {
	case *collector.Connection:
		c.facts = append(c.facts, new(*f))
	case *collector.LimitHit:
		c.facts = append(c.facts, new(*f))
	case *collector.BindConflict:
		c.facts = append(c.facts, new(*f))
	case *collector.TimeWait:
		c.facts = append(c.facts, new(*f))
	case *collector.StateChange:
		c.facts = append(c.facts, new(*f))
	}
}

// of are the facts of one type that pass a test.
func of[F collector.Fact](c *capture, wanted func(F) bool) (found []F) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range slices.Clone(c.facts) {
		if f, ok := f.(F); ok && wanted(f) {
			found = append(found, f)
		}
	}
	return found
}

// eventually waits for at least one such fact.
func eventually[F collector.Fact](c *capture, wanted func(F) bool) bool {
	for range 100 {
		if len(of(c, wanted)) > 0 {
			return true
		}
		time.Sleep(50 * time.Millisecond)
	}
	return false
}

// tracing is a tracer with its collector running, into a capture.
type tracing struct {
	*capture
	tracer  *loader.Tracer
	collect *collector.Collector
}

func startTracing(t *testing.T, o loader.Options) *tracing {
	t.Helper()
	tracer, err := loader.Attach(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := tracer.Blocked(); err != nil {
		t.Fatal("nothing could be attached: ", err)
	}
	tr := &tracing{capture: &capture{}, tracer: tracer}
	tr.collect = newCollector(tracer, nil, tr.capture)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.collect.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := tracer.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.New(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func newWorker(t *testing.T, l *lab.Lab, o lab.WorkerOptions) *lab.Worker {
	t.Helper()
	w, err := l.Worker(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// must unwraps a result that a test cannot go on without.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
