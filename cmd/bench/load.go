package main

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A load is one way to make connections.
type load struct {
	name string
	kind string
	cpus int
}

// The loads, the one that the goals speak of first.
var loads = []load{
	{"time_wait, 1 CPU", timeWait, 1},
	{"reset, 1 CPU", reset, 1},
	{"refused, 1 CPU", refused, 1},
	{"time_wait, 2 CPUs", timeWait, 2},
	{"reset, 2 CPUs", reset, 2},
}

// endpoints is how many ends of connections a tracer has to tell of.
func (l load) endpoints(connections int) int {
	if l.kind == refused {
		return connections
	}
	return 2 * connections
}

// cpu is where the n-th worker runs: from the last CPU downwards, since most
// interrupts are served by the first.
func (l load) cpu(n int) int { return runtime.NumCPU() - 1 - n%runtime.NumCPU() }

// amount is how much a load does.
type amount struct {
	warm, count int // of all workers together
	during      time.Duration

	beside func(context.Context, *running) // goes on until the load is done
}

// goesOnBeside starts what is to go on; stop ends it.
func (a amount) goesOnBeside(ctx context.Context, at *running) (stop func()) {
	if a.beside == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		a.beside(ctx, at)
		close(ended)
	}()
	return func() { cancel(); <-ended }
}

// prepared is a load whose workers wait for the word.
type prepared struct {
	load    load
	workers []*worker
	ready   []work // what the workers said when they were ready
	warm    int    // connections made while preparing
	done    int    // and after that
}

func (l load) prepare(ctx context.Context, a amount) (p *prepared, err error) {
	p = &prepared{load: l, warm: a.warm / l.cpus * l.cpus}
	for n := range l.cpus {
		o := order{Kind: l.kind, CPU: l.cpu(n), Warm: a.warm / l.cpus, Count: a.count / l.cpus, During: a.during}
		w, err := startAs(ctx, asLoad, o, unix.CLONE_NEWNET)
		if err != nil {
			p.close()
			return nil, err
		}
		p.workers = append(p.workers, w)
	}
	for _, w := range p.workers {
		ready, err := w.listen()
		if err != nil {
			p.close()
			return nil, err
		}
		p.ready = append(p.ready, ready)
	}
	return p, nil
}

// run has all workers work and adds up what they did; the time is the slowest's.
func (p *prepared) run() (sum work, err error) {
	for _, w := range p.workers {
		if err := w.order(); err != nil {
			return sum, err
		}
	}
	for _, w := range p.workers {
		done, err := w.listen()
		if err != nil {
			return sum, err
		}
		sum.Connections += done.Connections
		sum.CPU += done.CPU
		sum.Wall = max(sum.Wall, done.Wall)
	}
	return sum, nil
}

func (p *prepared) close() {
	for _, w := range p.workers {
		w.close()
	}
}
