package otlp

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"brink/collector"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Span is the span of an experiment or of one of its legs. Its methods may be
// called from any goroutine.
type Span struct {
	exporter *Exporter
	span

	mu         sync.Mutex
	attributes []attribute.KeyValue
	ended      bool
}

// StartExperiment starts the root span of a trace: everything that happens in
// the experiment is below it. It is exempt from sampling.
func (e *Exporter) StartExperiment(name string, attributes ...attribute.KeyValue) *Span {
	s := e.newSpan("experiment "+name, attributes)
	binary.BigEndian.PutUint64(s.trace[:8], rand.Uint64())
	binary.BigEndian.PutUint64(s.trace[8:], max(1, rand.Uint64()))
	s.attributes = append(s.attributes, attribute.String("brink.experiment", name))
	return s
}

// StartLeg starts a child of the experiment: one run with one setting, say.
func (s *Span) StartLeg(name string, attributes ...attribute.KeyValue) *Span {
	leg := s.exporter.newSpan("leg "+name, attributes)
	leg.trace, leg.parent = s.trace, s.id
	leg.attributes = append(leg.attributes, attribute.String("brink.leg", name))
	return leg
}

func (e *Exporter) newSpan(name string, attributes []attribute.KeyValue) *Span {
	s := &Span{exporter: e, attributes: attributes[:len(attributes):len(attributes)]}
	s.name, s.kind, s.start, s.sampled = name, tracepb.Span_SPAN_KIND_INTERNAL, time.Now(), true
	binary.BigEndian.PutUint64(s.id[:], max(1, rand.Uint64()))
	return s
}

// End ends the span, as an error when err is not nil. Spans below it may still
// come: the kernel tells of a connection when it is over. A second End does nothing.
func (s *Span) End(err error, attributes ...attribute.KeyValue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended, s.end = true, time.Now()
	s.attributes = append(s.attributes, attributes...)
	if err != nil {
		s.attributes = append(s.attributes, attribute.String(collector.KeyErrorType, errorType(err)))
	}
	s.exporter.export(s, err)
}

func (e *Exporter) export(s *Span, err error) {
	if len(e.pipes) == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		e.late++
		return
	}
	e.encoder.begin(&s.span)
	for _, kv := range s.attributes {
		e.encoder.keyValue(kv)
	}
	if err != nil {
		e.encoder.failed(err.Error())
	}
	e.queue(rankRefusal)
}

// SpanContext names the span's trace, for a report.
func (s *Span) SpanContext() trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: s.trace, SpanID: s.id, TraceFlags: trace.FlagsSampled})
}

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
