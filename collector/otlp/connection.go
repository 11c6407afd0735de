package otlp

import (
	"context"
	"time"

	"brink/collector"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sys/unix"
)

// connectionSpans are a connection's span by role: few names, so that a backend
// can group by them; ports and addresses are attributes.
var connectionSpans = [...]struct {
	name string
	kind trace.SpanStartOption
}{
	collector.RoleUnknown: {"tcp connection", trace.WithSpanKind(trace.SpanKindInternal)},
	collector.RoleClient:  {"tcp client connection", trace.WithSpanKind(trace.SpanKindClient)},
	collector.RoleServer:  {"tcp server connection", trace.WithSpanKind(trace.SpanKindServer)},
}

func (e *Exporter) connection(c *collector.Connection) {
	id, own, parent := Identity(c)
	as := connectionSpans[c.Role]
	_, span := e.tracer.Start(&wish{
		Context: e.parentOf(c.Netns, id, parent),
		trace:   id,
		span:    own,
		keep:    c.Errno != 0,
	}, as.name, as.kind, trace.WithTimestamp(birth(c)))
	if span.IsRecording() {
		span.SetAttributes(e.attributes.of(c)...)
		addStates(span, c)
		setErrno(span, c.Errno, "")
		span.End(trace.WithTimestamp(c.End))
	}
	e.last = ended{tuple{c.Netns, c.Local, c.Peer}, span.SpanContext()}
}

// parentOf is the context of a connection's span. The server's end hangs below
// the client's, in the trace of both or in an experiment's; any other end below
// the leg that its namespace was given to, if there is one.
func (e *Exporter) parentOf(netns uint32, id trace.TraceID, parent trace.SpanID) context.Context {
	leg := e.legOf(netns)
	switch {
	case parent.IsValid() && leg != nil:
		return remoteParent(leg.SpanContext().TraceID(), parent)
	case parent.IsValid():
		return remoteParent(id, parent)
	case leg != nil:
		return leg.ctx
	}
	return context.Background()
}

// birth is where the span starts: at its end, when the start was not seen.
func birth(c *collector.Connection) time.Time {
	if c.Start.IsZero() {
		return c.End
	}
	return c.Start
}

func addStates(span trace.Span, c *collector.Connection) {
	start := birth(c)
	for _, s := range c.States() {
		addState(span, s.State, start.Add(s.At))
	}
}

// setErrno makes a span an error, described by the errno's name or, where the
// program was given none, by the other words. Without both it is none.
func setErrno(span trace.Span, errno unix.Errno, otherwise string) {
	description := otherwise
	if errno != 0 {
		description = errnoName(errno)
	}
	if description != "" {
		span.SetStatus(codes.Error, description)
	}
}

func errnoName(errno unix.Errno) string {
	if name := unix.ErrnoName(errno); name != "" {
		return name
	}
	return errno.Error()
}
