package otlp

import (
	"context"
	"time"

	"brink/collector"

	"go.opentelemetry.io/otel/trace"
)

// limitHit makes a span of length zero of a refusal. There is one name for each
// limit, which are a dozen.
func (e *Exporter) limitHit(h *collector.LimitHit) {
	span := e.startRefusal("limit_hit "+h.Limit.String(), h.Netns, h.Time)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(e.attributes.of(h)...)
	setErrno(span, h.Errno, h.Limit.String())
	span.End(trace.WithTimestamp(h.Time))
}

// bindConflict makes a span of length zero of a refused bind() or listen(),
// with an event for each socket that holds the port.
func (e *Exporter) bindConflict(b *collector.BindConflict) {
	span := e.startRefusal("bind_conflict", b.Netns, b.Time)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(e.attributes.of(b)...)
	for _, holder := range e.attributes.holders {
		span.AddEvent("holder", trace.WithAttributes(holder...), trace.WithTimestamp(b.Time))
	}
	setErrno(span, b.Errno, "bind_conflict")
	span.End(trace.WithTimestamp(b.Time))
}

// startRefusal starts the span of a refusal: kept whatever the sampler says,
// because a refusal is what brink is for and there are few of them.
func (e *Exporter) startRefusal(name string, netns uint32, at time.Time) trace.Span {
	ctx := context.Background()
	if leg := e.legOf(netns); leg != nil {
		ctx = leg.ctx
	}
	_, span := e.tracer.Start(&wish{Context: ctx, keep: true}, name, trace.WithTimestamp(at))
	return span
}
