package otlp

import (
	"context"
	"time"

	"brink/collector"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// openAtShutdown marks the span of a tuple that was still in TIME_WAIT when the
// exporter was shut down: its end is that moment, not the kernel's.
var openAtShutdown = attribute.Bool("brink.time_wait.open", true)

// timeWait opens a tuple's second life, or closes it and makes a span of it.
// An overflow leaves no timewait socket; it is told as a LimitHit too.
func (e *Exporter) timeWait(f *collector.TimeWait) {
	switch f.Event {
	case collector.TimeWaitEnter:
		e.enterTimeWait(f)
	case collector.TimeWaitLeave, collector.TimeWaitReuseConnect, collector.TimeWaitReuseSYN:
		t := e.timeWaits.take(tupleOf(f))
		if t == nil {
			return // older than brink, sampled out, or dropped and counted
		}
		t.enter.Event = f.Event // says by what it was reused
		e.endTimeWait(t, f.Time)
	}
}

func (e *Exporter) enterTimeWait(f *collector.TimeWait) {
	if e.timeWaits.turn(f) {
		return
	}
	t := &timeWait{enter: *f, leg: e.legOf(f.Netns)}
	if e.last.tuple == tupleOf(f) {
		t.parent = e.last.span
	}
	e.timeWaits.add(t)
}

// endTimeWait makes the span, from enter to end.
func (e *Exporter) endTimeWait(t *timeWait, end time.Time, more ...attribute.KeyValue) {
	if t.unwanted() {
		return
	}
	_, span := e.tracer.Start(
		&wish{Context: t.context(), keep: t.parent.IsSampled()},
		"tcp time_wait", trace.WithTimestamp(t.enter.Time))
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(e.attributes.of(&t.enter)...)
	span.SetAttributes(more...)
	if !t.turned.IsZero() {
		addState(span, collector.TimeWaitState, t.turned)
	}
	if end.Before(t.enter.Time) { // the wall clock was stepped in between
		end = t.enter.Time
	}
	span.End(trace.WithTimestamp(end))
}

// context is the parent: the connection, else the experiment's leg, else none.
func (t *timeWait) context() context.Context {
	switch {
	case t.parent.IsValid():
		return trace.ContextWithRemoteSpanContext(context.Background(), t.parent)
	case t.leg != nil:
		return t.leg.ctx
	}
	return context.Background()
}
