package otlp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Shutdown ends the open TIME_WAIT spans, exports what waits and closes the
// destinations, all within ctx's deadline. What is not exported by then is
// counted (Failed, Dropped) and the error says so. Experiments end before it.
func (e *Exporter) Shutdown(ctx context.Context) error {
	e.endOpenTimeWaits(ctx)
	if err := shutdownAll(ctx, e.pipes); err != nil {
		return fmt.Errorf("export the last spans: %w", err)
	}
	return nil
}

// endOpenTimeWaits closes the exporter to facts and ends what is open. There may
// be more of that than a queue holds, so it lets the queues run empty in
// between: Accept may not wait, this may, for half of the time there is.
func (e *Exporter) endOpenTimeWaits(ctx context.Context) {
	e.mu.Lock()
	already := e.closed
	e.closed = true
	e.mu.Unlock()
	if already {
		return
	}
	e.sweeper.stop()
	patience, cancel := half(ctx)
	defer cancel()
	for now := time.Now(); e.endOldest(now); {
		e.makeRoom(patience)
	}
}

// endOldest ends the oldest open TIME_WAIT, if there is one.
func (e *Exporter) endOldest(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	oldest := e.timeWaits.oldest.Front()
	if oldest == nil {
		return false
	}
	e.endTimeWait(e.timeWaits.take(tupleOf(&oldest.Value.(*timeWait).enter)), now, keyOpen)
	return true
}

// makeRoom empties the queues that are half full.
func (e *Exporter) makeRoom(ctx context.Context) {
	for _, p := range e.pipes {
		if p.waiting() > p.queue.maxSpans/2 {
			_ = p.ForceFlush(ctx) // what fails is counted where it does
		}
	}
}

func half(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, time.Now().Add(time.Until(deadline)/2))
}

// shutdownAll shuts the pipes down side by side: a dead one does not take the
// others' time.
func shutdownAll(ctx context.Context, pipes []*pipe) error {
	errs := make([]error, len(pipes))
	var all sync.WaitGroup
	for i, p := range pipes {
		all.Go(func() { errs[i] = p.Shutdown(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}
