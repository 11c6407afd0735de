package otlp

import (
	"time"

	"brink/collector"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Where the end of a TIME_WAIT is not the kernel's word, one of these attributes
// says so: the exporter was shut down before the tuple was free, or nothing was
// told and the end is the known one (tracepoints tell of no leaving).
const (
	keyOpen    = "brink.time_wait.open"
	keyAssumed = "brink.time_wait.assumed"
)

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
		e.endTimeWait(t, f.Time, "")
	}
}

func (e *Exporter) enterTimeWait(f *collector.TimeWait) {
	if e.timeWaits.turn(f) {
		return
	}
	t := &timeWait{enter: *f, free: f.Time.Add(lasting)}
	reused := f.Time // no later than that, if the tuple had a timewait socket
	if e.last.tuple == tupleOf(f) {
		reused = e.last.start
	}
	if before := e.timeWaits.take(tupleOf(f)); before != nil {
		e.endTimeWait(before, earlier(before.free, reused), keyAssumed)
	}
	t.place = e.placeOfTimeWait(f)
	e.timeWaits.add(t)
}

// placeOfTimeWait: below its connection, and sampled with it; without one below
// the experiment's leg, or alone.
func (e *Exporter) placeOfTimeWait(f *collector.TimeWait) (p place) {
	p.trace, p.id = unsharedIdentity(event{
		start: f.Time.UnixNano(), local: f.Local, peer: f.Peer, netns: f.Netns, what: kindTimeWait,
	})
	if e.last.tuple == tupleOf(f) {
		p.trace, p.parent, p.sampled = e.last.place.trace, e.last.place.id, e.last.place.sampled
		return p
	}
	p.sampled = inSample(sampleKey(p.trace), e.bound)
	e.putBelowLeg(&p, f.Netns)
	return p
}

// endTimeWait makes the span, from enter to end. why is an attribute, if the end
// is not the kernel's word.
func (e *Exporter) endTimeWait(t *timeWait, end time.Time, why string) {
	if t.unwanted() {
		return
	}
	if end.Before(t.enter.Time) { // the wall clock was stepped in between
		end = t.enter.Time
	}
	e.encoder.begin(&span{
		place: t.place, name: "tcp time_wait", kind: tracepb.Span_SPAN_KIND_INTERNAL,
		start: t.enter.Time, end: end,
	})
	t.enter.Visit(&e.encoder)
	if why != "" {
		e.encoder.Bool(why, true)
	}
	if !t.turned.IsZero() {
		e.encoder.state(collector.TimeWaitState, t.turned)
	}
	e.queue(rankConnection)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// sweep ends the TIME_WAITs whose leaving should have been told by now.
func (e *Exporter) sweep(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for t := e.timeWaits.overdue(now); t != nil; t = e.timeWaits.overdue(now) {
		e.endTimeWait(t, t.free, keyAssumed)
	}
}
