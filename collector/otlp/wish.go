package otlp

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	"go.opentelemetry.io/otel/trace"
)

// wish is the context a span is started with: it carries the parent, as the
// SDK wants it, and what generator and sampler shall do. The SDK has no other
// way to hand them anything about a single span.
type wish struct {
	context.Context
	// trace is the connection's own trace ID (see Identity). It decides about
	// sampling also where the span joins another trace, an experiment's.
	trace trace.TraceID
	span  trace.SpanID
	// keep exempts from sampling: refusals, and what an experiment started.
	keep bool
}

type wishKey struct{}

// Value implements context.Context.
func (w *wish) Value(key any) any {
	if key == (wishKey{}) {
		return w
	}
	return w.Context.Value(key)
}

// wishOf is the wish in ctx; without one, the one that wishes nothing.
func wishOf(ctx context.Context) wish {
	if w, ok := ctx.Value(wishKey{}).(*wish); ok {
		return *w
	}
	return wish{}
}

// remoteParent is a context whose parent span is known by its ids alone: it may
// be another host's, or not have been made yet.
func remoteParent(id trace.TraceID, span trace.SpanID) context.Context {
	return trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(
		trace.SpanContextConfig{TraceID: id, SpanID: span, TraceFlags: trace.FlagsSampled}))
}

// generator gives a span the ids that its wish names, and random ones else.
type generator struct{}

// NewIDs implements sdktrace.IDGenerator, for a span without a parent.
func (g generator) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id := wishOf(ctx).trace
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:8], rand.Uint64())
		binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID implements sdktrace.IDGenerator.
func (generator) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	id := wishOf(ctx).span
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
