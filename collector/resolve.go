package collector

import (
	"sync/atomic"

	"brink/collector/sockdiag"
)

// resolver looks up, beside the collector's goroutine, what a refusal came
// without: who holds the port, how much of the limit is used. A sock_diag dump
// and a walk over /proc take milliseconds, and the ring must not wait for them.
type resolver struct {
	queue    chan Fact
	out      chan<- Fact
	measurer measurer
	owners   sockdiag.Finder
	inFlight atomic.Int64
	refused  atomic.Uint64 // more refusals at once than the queue holds
	stopped  chan struct{} // closed after the last one has gone out
}

const resolverQueue = 256

func newResolver(out chan<- Fact) *resolver {
	r := &resolver{
		queue: make(chan Fact, resolverQueue), out: out, stopped: make(chan struct{}),
		measurer: measurer{known: map[measured]measurement{}},
	}
	go r.run()
	return r
}

func (r *resolver) run() {
	defer close(r.stopped)
	for f := range r.queue {
		switch f := f.(type) {
		case *BindConflict:
			f.Holders = findHolders(f, &r.owners)
		case *LimitHit:
			r.measurer.complete(f)
		}
		r.out <- f
	}
}

// take reports whether the fact will come back with what it lacks.
func (r *resolver) take(f Fact) bool {
	switch lent := f.(type) {
	case *BindConflict:
		f = new(*lent)
	case *LimitHit:
		if !wants(lent) {
			return false
		}
		f = new(*lent)
	default:
		return false
	}
	r.begin()
	select {
	case r.queue <- f:
		return true
	default:
		r.refused.Add(1)
		r.done()
		return false
	}
}

func (r *resolver) begin()     { r.inFlight.Add(1) }
func (r *resolver) done()      { r.inFlight.Add(-1) }
func (r *resolver) busy() bool { return r.inFlight.Load() > 0 }

// stop lets the queue run out; stopped says when it has.
func (r *resolver) stop() { close(r.queue) }
