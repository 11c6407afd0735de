package otlp

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
)

// errCutOff ends the exports that are under way when Shutdown runs out of time.
var errCutOff = errors.New("shut down before the backend answered")

// maxBatchBytes keeps a batch below the 4 MiB that gRPC servers accept.
const maxBatchBytes = 2 << 20

// The time between two attempts to reach a destination that is away doubles
// from the first to the longest. Half of it is left to chance: the hosts of a
// fleet must not come back all at once.
const (
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

// pipe is the way to one destination: a queue, and a goroutine that empties it
// when a batch is full or OTEL_BSP_SCHEDULE_DELAY is over.
//
//	push ─→ queue ─→ batch ─→ client ─→ taken: sent
//	          ↑ full: the oldest, cheapest       │ refused: failed
//	          │       are dropped                │ away: pause
//	          └────────── giveBack ──────────────┘
type pipe struct {
	client     otlptrace.Client
	message    message
	batchSize  int
	delay      time.Duration
	timeout    time.Duration // of one export
	firstPause time.Duration
	pause      time.Duration // the next one
	batch      batch         // being sent
	outage     outage

	mu     sync.Mutex // guards what follows
	queue  queue
	sent   uint64
	failed uint64
	away   bool

	full     chan struct{} // a batch is
	flush    chan chan struct{}
	closing  chan struct{}
	finished chan struct{} // so is the goroutine
	lastErr  error         // why it left spans behind
	once     sync.Once
	// alive ends, with errCutOff, the export under way and those to come.
	alive  context.Context
	cutOff context.CancelCauseFunc
}

// newPipe starts one to a client that has been started. name is what warnings
// call it.
func newPipe(client otlptrace.Client, name string, s settings, h header, log *slog.Logger) *pipe {
	p := &pipe{
		client: client, message: h.message(), batchSize: s.batch, delay: s.delay, timeout: s.timeout,
		firstPause: firstPause, pause: firstPause, outage: outage{log: log, destination: name},
		queue: queue{maxSpans: s.queue, maxBytes: maxQueueBytes},
		full:  make(chan struct{}, 1), flush: make(chan chan struct{}),
		closing: make(chan struct{}), finished: make(chan struct{}),
	}
	p.alive, p.cutOff = context.WithCancelCause(context.Background())
	go p.run()
	return p
}

// push queues a span, at once.
func (p *pipe) push(s encoded, r rank) {
	p.mu.Lock()
	p.queue.push(s, r)
	full := p.queue.spans >= p.batchSize
	p.mu.Unlock()
	if full {
		select {
		case p.full <- struct{}{}:
		default: // knows
		}
	}
}

func (p *pipe) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.spans
}

func (p *pipe) run() {
	defer close(p.finished)
	tick := time.NewTicker(p.delay)
	defer tick.Stop()
	for {
		select {
		case <-p.full:
			p.drain(p.batchSize)
		case <-tick.C:
			p.drain(1)
		case done := <-p.flush:
			p.drain(1)
			close(done)
		case <-p.closing:
			p.lastErr = p.drain(1)
			return
		}
	}
}

// drain exports while at least so many spans wait. It tries for ever, unless the
// pipe is to be closed: then it stops at the first attempt that finds the
// destination away, and returns why.
func (p *pipe) drain(least int) error {
	for p.alive.Err() == nil && p.waiting() >= least {
		err := p.export()
		if err == nil {
			p.pause = p.firstPause
			continue
		}
		select {
		case <-p.closing:
			return err
		case <-time.After(p.pause/2 + rand.N(p.pause)):
		}
		p.pause = min(2*p.pause, longestPause)
	}
	return nil
}

// export sends one batch. An error means that the destination is away and that
// the batch waits again.
func (p *pipe) export() error {
	p.mu.Lock()
	p.queue.take(&p.batch, p.batchSize, maxBatchBytes)
	p.mu.Unlock()
	n := uint64(len(p.batch.spans))
	err := p.upload()
	p.outage.note(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = isAway(err)
	switch {
	case err == nil:
		p.sent += n
	case p.away:
		p.queue.giveBack(&p.batch)
		return err
	default:
		p.failed += n
	}
	p.queue.done(&p.batch)
	return nil
}

func (p *pipe) upload() error {
	if err := context.Cause(p.alive); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(p.alive, p.timeout)
	defer cancel()
	err := p.client.UploadTraces(ctx, p.message.of(&p.batch))
	if cause := context.Cause(p.alive); err != nil && cause != nil {
		return cause
	}
	return err
}

// ForceFlush exports what waits.
func (p *pipe) ForceFlush(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case p.flush <- done:
	case <-p.finished:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Shutdown exports what waits, drops what cannot be exported, and closes the
// client. When the time is almost up it ends the export, so that its goroutine
// is gone by the deadline too. A second call does nothing.
func (p *pipe) Shutdown(ctx context.Context) (err error) {
	p.once.Do(func() { err = p.shutdown(ctx) })
	return err
}

func (p *pipe) shutdown(ctx context.Context) error {
	patience, cancel := almost(ctx)
	defer cancel()
	stop := context.AfterFunc(patience, func() { p.cutOff(errCutOff) })
	defer stop()
	close(p.closing)
	select {
	case <-p.finished:
	case <-ctx.Done(): // a file that does not take what is written
		return ctx.Err()
	}
	p.mu.Lock()
	p.queue.clear()
	p.mu.Unlock()
	return errors.Join(p.lastErr, context.Cause(p.alive), p.client.Stop(ctx))
}

// almost is ctx with a deadline a little earlier.
func almost(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	margin := min(time.Until(deadline)/10, 250*time.Millisecond)
	return context.WithDeadline(ctx, deadline.Add(-margin))
}
