package collector

import "sync/atomic"

// resolver looks up who holds a refused port, beside the collector's goroutine:
// a sock_diag dump and a walk over /proc take milliseconds, and the ring must
// not wait for them.
type resolver struct {
	queue    chan *BindConflict
	out      chan<- Fact
	inFlight atomic.Int64
	refused  atomic.Uint64 // more conflicts at once than the queue holds
	stopped  chan struct{} // closed after the last conflict has gone out
}

const resolverQueue = 256

func newResolver(out chan<- Fact) *resolver {
	r := &resolver{queue: make(chan *BindConflict, resolverQueue), out: out, stopped: make(chan struct{})}
	go r.run()
	return r
}

func (r *resolver) run() {
	defer close(r.stopped)
	for conflict := range r.queue {
		conflict.Holders = findHolders(conflict)
		r.out <- conflict
	}
}

// take reports whether the conflict will come back with its holders.
func (r *resolver) take(c BindConflict) bool {
	r.begin()
	select {
	case r.queue <- &c:
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
