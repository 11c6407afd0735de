package otlp

import (
	"time"

	"brink/collector"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// connectionSpans are a connection's span by role: few names, so that a backend
// can group by them; ports and addresses are attributes.
var connectionSpans = [...]struct {
	name string
	kind tracepb.Span_SpanKind
}{
	collector.RoleUnknown: {"tcp connection", tracepb.Span_SPAN_KIND_INTERNAL},
	collector.RoleClient:  {"tcp client connection", tracepb.Span_SPAN_KIND_CLIENT},
	collector.RoleServer:  {"tcp server connection", tracepb.Span_SPAN_KIND_SERVER},
}

func (e *Exporter) connection(c *collector.Connection) {
	as := connectionSpans[c.Role]
	s := span{place: e.placeOf(c), name: as.name, kind: as.kind, start: birth(c), end: c.End}
	e.last = ended{tuple{c.Netns, c.Local, c.Peer}, s.place, s.start}
	if !s.sampled {
		return
	}
	e.encoder.begin(&s)
	c.Visit(&e.encoder)
	for _, entered := range c.States() {
		e.encoder.state(entered.State, s.start.Add(entered.At))
	}
	e.encoder.errno(c.Errno, "")
	e.queue(rankOf(c))
}

func rankOf(c *collector.Connection) rank {
	if isRefusal(c) {
		return rankFailure
	}
	return rankConnection
}

// birth is where the span starts: at its end, when the start was not seen.
func birth(c *collector.Connection) time.Time {
	if c.Start.IsZero() {
		return c.End
	}
	return c.Start
}
