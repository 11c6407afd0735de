package otlp

import (
	"brink/collector"

	"go.opentelemetry.io/otel/trace"
)

// SpanOf names the span that Accept makes of a fact, so that an exemplar or a
// log line can refer to it: with the same fact it says the same before Accept
// and after. The context is invalid for a fact that makes no span of its own at
// once or whose span is not sampled.
func (e *Exporter) SpanOf(f collector.Fact) trace.SpanContext {
	if len(e.pipes) == 0 {
		return trace.SpanContext{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.placeOf(f)
	if !p.sampled {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: p.trace, SpanID: p.id, TraceFlags: trace.FlagsSampled})
}

// placeOf is where a fact's span belongs. e.mu is held.
func (e *Exporter) placeOf(f collector.Fact) place {
	switch f := f.(type) {
	case *collector.Connection:
		return e.placeOfConnection(f)
	case *collector.LimitHit:
		return e.placeOfRefusal(f.Netns, event{
			start: f.Time.UnixNano(), local: f.Local, peer: f.Peer, netns: f.Netns,
			pid: f.Owner.PID, what: kindLimitHit | uint64(f.Limit)<<8 | uint64(f.Hook)<<32, count: f.Count,
		})
	case *collector.BindConflict:
		return e.placeOfRefusal(f.Netns, event{
			start: f.Time.UnixNano(), local: f.Local, netns: f.Netns,
			pid: f.Owner.PID, what: kindBindConflict | uint64(f.Errno)<<8,
		})
	case *collector.ConnectFailures:
		return e.placeOfRefusal(f.Netns, event{
			start: f.Time.UnixNano(), netns: f.Netns, pid: f.Owner.PID,
			what: kindFailures | uint64(f.Errno)<<8 | uint64(f.Failure)<<32, count: f.Count,
		})
	}
	return place{}
}

// The last byte of an event's what; the roles of a connection are below.
const (
	kindLimitHit = 16 + iota
	kindBindConflict
	kindFailures
	kindTimeWait
)

// placeOfConnection: the server's end hangs below the client's, in the trace of
// both or in an experiment's; any other end below the leg that its namespace was
// given to, if there is one. It is sampled by its own trace ID in an experiment
// too: the same at both ends, and for each connection anew.
func (e *Exporter) placeOfConnection(c *collector.Connection) (p place) {
	p.trace, p.id, p.parent = Identity(c)
	p.isRemote = p.parent.IsValid()
	p.sampled = isRefusal(c) || inSample(sampleKey(p.trace), e.bound)
	e.putBelowLeg(&p, c.Netns)
	return p
}

// placeOfRefusal: kept whatever the sampler says, because a refusal is what
// brink is for.
func (e *Exporter) placeOfRefusal(netns uint32, of event) (p place) {
	p.trace, p.id = unsharedIdentity(of)
	p.sampled = true
	e.putBelowLeg(&p, netns)
	return p
}

func (e *Exporter) putBelowLeg(p *place, netns uint32) {
	leg := e.legs[netns]
	if leg == nil {
		return
	}
	p.trace = leg.trace
	if !p.parent.IsValid() {
		p.parent = leg.id
	}
}
