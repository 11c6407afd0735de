package otlp

import (
	"context"
	"errors"
	"syscall"

	"brink/collector"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Span is the span of an experiment or of one of its legs. Its methods may be
// called from any goroutine.
type Span struct {
	tracer trace.Tracer
	ctx    context.Context
	span   trace.Span
}

// StartExperiment starts the root span of a trace: everything that happens in
// the experiment is below it. It is exempt from sampling.
func (e *Exporter) StartExperiment(name string, attributes ...attribute.KeyValue) *Span {
	ctx := &wish{Context: context.Background(), keep: true}
	s := startSpan(e.tracer, ctx, "experiment "+name, attributes)
	s.span.SetAttributes(attribute.String("brink.experiment", name))
	return s
}

// StartLeg starts a child of the experiment: one run with one setting, say.
func (s *Span) StartLeg(name string, attributes ...attribute.KeyValue) *Span {
	leg := startSpan(s.tracer, s.ctx, "leg "+name, attributes)
	leg.span.SetAttributes(attribute.String("brink.leg", name))
	return leg
}

func startSpan(t trace.Tracer, ctx context.Context, name string, attributes []attribute.KeyValue) *Span {
	ctx, span := t.Start(ctx, name, trace.WithAttributes(attributes...))
	return &Span{tracer: t, ctx: ctx, span: span}
}

// End ends the span, as an error when err is not nil. Spans below it may still
// come: the kernel tells of a connection when it is over.
func (s *Span) End(err error, attributes ...attribute.KeyValue) {
	s.span.SetAttributes(attributes...)
	if err != nil {
		s.span.SetAttributes(attribute.String(collector.KeyErrorType, errorType(err)))
		s.span.SetStatus(codes.Error, err.Error())
	}
	s.span.End()
}

// SpanContext names the span's trace, for a report.
func (s *Span) SpanContext() trace.SpanContext { return s.span.SpanContext() }

// errorType is the value of error.type; the conventions have a word for
// "an error, and nothing is known about its kind".
func errorType(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return collector.ErrorType(errno)
	}
	return "_OTHER"
}

// Adopt makes everything that is told of a network namespace, by its inode
// number, from now on a child of the leg, until Release. What the kernel tells
// comes a little late, so release when the last of it has been accepted.
// Namespace 0 means "unknown" and cannot be adopted.
func (e *Exporter) Adopt(netns uint32, leg *Span) {
	if netns == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.legs[netns] = leg
}

// Release undoes Adopt.
func (e *Exporter) Release(netns uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.legs, netns)
}

// legOf is the leg that a namespace was given to, or nil. e.mu is held.
func (e *Exporter) legOf(netns uint32) *Span { return e.legs[netns] }
