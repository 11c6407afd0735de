package otlp

import (
	"time"

	"brink/collector"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/sys/unix"
)

// limitHit makes a span of length zero of a refusal. There is one name for each
// limit, which are a few dozen.
func (e *Exporter) limitHit(h *collector.LimitHit) {
	e.beginRefusal(h, "limit_hit "+h.Limit.String(), h.Time)
	e.endRefusal(h.Errno, h.Limit.String(), rankRefusal)
}

// bindConflict makes a span of length zero of a refused bind() or listen(),
// with an event for each socket that holds the port.
func (e *Exporter) bindConflict(b *collector.BindConflict) {
	e.beginRefusal(b, "bind_conflict", b.Time)
	e.endRefusal(b.Errno, "bind_conflict", rankRefusal)
}

// connectFailures makes one span of many connects that failed alike, in a storm
// of which only some were told one by one.
func (e *Exporter) connectFailures(f *collector.ConnectFailures) {
	e.beginRefusal(f, "connect_failures", f.Time)
	e.endRefusal(f.Errno, f.Failure.String(), rankFailure)
}

func (e *Exporter) beginRefusal(f collector.Fact, name string, at time.Time) {
	e.encoder.begin(&span{place: e.placeOf(f), name: name, kind: tracepb.Span_SPAN_KIND_INTERNAL, start: at, end: at})
	f.Visit(&e.encoder)
}

func (e *Exporter) endRefusal(errno unix.Errno, otherwise string, r rank) {
	e.encoder.errno(errno, otherwise)
	e.queue(r)
}
