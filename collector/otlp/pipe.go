package otlp

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// errCutOff ends the exports that are under way when Shutdown runs out of time.
var errCutOff = errors.New("shut down before the backend answered")

// pipe is the way to one destination: the SDK's batch processor with a counter
// at either end, because the processor itself does not tell what it drops.
//
//	OnEnd ─→ full? count ─→ batch processor ─→ outlet ─→ exporter
//	           ↑ waiting                          │ failed? count, warn
//	           └──────────────────────────────────┘
type pipe struct {
	batch    sdktrace.SpanProcessor
	capacity int64
	waiting  atomic.Int64 // spans between OnEnd and the end of their export
	dropped  atomic.Uint64
	failed   atomic.Uint64
	outage   outage
	// alive ends, with errCutOff, every export under way and to come.
	alive  context.Context
	cutOff context.CancelCauseFunc
}

// newPipe puts the batch processor in front of an exporter. Its queue is never
// full, since no more than its capacity are let in.
func newPipe(to sdktrace.SpanExporter, name string, s settings, log *slog.Logger) *pipe {
	p := &pipe{capacity: int64(s.queue), outage: outage{log: log, destination: name}}
	p.alive, p.cutOff = context.WithCancelCause(context.Background())
	p.batch = sdktrace.NewBatchSpanProcessor(outlet{p, to},
		sdktrace.WithMaxQueueSize(s.queue),
		sdktrace.WithMaxExportBatchSize(s.batch))
	return p
}

// OnStart implements sdktrace.SpanProcessor.
func (p *pipe) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements sdktrace.SpanProcessor: it queues or drops, at once.
func (p *pipe) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if p.waiting.Add(1) > p.capacity {
		p.waiting.Add(-1)
		p.dropped.Add(1)
		return
	}
	p.batch.OnEnd(s)
}

// ForceFlush implements sdktrace.SpanProcessor.
func (p *pipe) ForceFlush(ctx context.Context) error { return p.batch.ForceFlush(ctx) }

// Shutdown implements sdktrace.SpanProcessor: it exports what waits and, when
// the time is almost up, ends the exports so that their goroutine is gone by
// the deadline too. The SDK's would return and leave it behind.
func (p *pipe) Shutdown(ctx context.Context) error {
	patience, cancel := almost(ctx)
	defer cancel()
	stop := context.AfterFunc(patience, func() { p.cutOff(errCutOff) })
	defer stop()
	err := p.batch.Shutdown(ctx)
	p.dropped.Add(uint64(p.waiting.Swap(0)))
	return errors.Join(err, context.Cause(p.alive))
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

// outlet is the exporter's end of a pipe. It keeps errors from the SDK, which
// would print them to standard error, each one.
type outlet struct {
	pipe *pipe
	to   sdktrace.SpanExporter
}

// ExportSpans implements sdktrace.SpanExporter. The spans of an export that the
// backend took only in part count as failed, all of them: it does not say which.
func (o outlet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	n := len(spans)
	defer o.pipe.waiting.Add(int64(-n))
	err := o.export(ctx, spans)
	if err != nil {
		o.pipe.failed.Add(uint64(n))
	}
	o.pipe.outage.note(err)
	return nil
}

func (o outlet) export(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := context.Cause(o.pipe.alive); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(o.pipe.alive, func() { cancel(errCutOff) })
	defer stop()
	return o.to.ExportSpans(ctx, spans)
}

// Shutdown implements sdktrace.SpanExporter.
func (o outlet) Shutdown(ctx context.Context) error { return o.to.Shutdown(ctx) }
