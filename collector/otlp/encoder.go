package otlp

import (
	"time"

	"brink/collector"

	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"
)

// encoder writes spans as OTLP's protobuf, straight from facts into one buffer: a
// ninth of the time that the SDK's way takes (its spans, their snapshots,
// protobuf's structures, their marshalling), and the size of a queue of bytes is
// known. The fields are those of opentelemetry/proto/trace/v1/trace.proto, whose
// numbers are fixed for ever.
type encoder struct {
	attributes
	scratch attributes // of an event
	at      time.Time  // of the holders' events
}

const (
	fieldSpans protowire.Number = 2 // of ScopeSpans

	fieldTraceID      protowire.Number = 1
	fieldSpanID       protowire.Number = 2
	fieldParentSpanID protowire.Number = 4
	fieldName         protowire.Number = 5
	fieldSpanKind     protowire.Number = 6
	fieldStart        protowire.Number = 7
	fieldEnd          protowire.Number = 8
	fieldAttributes   protowire.Number = 9
	fieldEvents       protowire.Number = 11
	fieldStatus       protowire.Number = 15
	fieldFlags        protowire.Number = 16

	fieldEventTime       protowire.Number = 1
	fieldEventName       protowire.Number = 2
	fieldEventAttributes protowire.Number = 3

	fieldStatusMessage protowire.Number = 2
	fieldStatusCode    protowire.Number = 3
)

// span is what a span has besides attributes, events and status.
type span struct {
	place
	name       string
	kind       tracepb.Span_SpanKind
	start, end time.Time
}

// place is where a span belongs.
type place struct {
	trace    trace.TraceID
	id       trace.SpanID
	parent   trace.SpanID
	isRemote bool // the parent may be another host's
	sampled  bool
}

// begin starts a span; what was not finished before is forgotten.
func (e *encoder) begin(s *span) {
	e.wire, e.field, e.at = e.wire[:0], fieldAttributes, s.end
	e.holder = e.addHolder
	e.bytes(fieldTraceID, s.trace[:])
	e.bytes(fieldSpanID, s.id[:])
	if s.parent.IsValid() {
		e.bytes(fieldParentSpanID, s.parent[:])
	}
	e.wire = protowire.AppendTag(e.wire, fieldFlags, protowire.Fixed32Type)
	e.wire = protowire.AppendFixed32(e.wire, s.flags())
	e.wire = protowire.AppendTag(e.wire, fieldName, protowire.BytesType)
	e.wire = protowire.AppendString(e.wire, s.name)
	e.wire = protowire.AppendTag(e.wire, fieldSpanKind, protowire.VarintType)
	e.wire = protowire.AppendVarint(e.wire, uint64(s.kind))
	e.time(fieldStart, s.start)
	e.time(fieldEnd, s.end)
}

// flags are W3C's trace flags, and whether the parent is remote.
func (p *place) flags() uint32 {
	flags := uint32(trace.FlagsSampled) | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
	if p.isRemote {
		flags |= uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
	}
	return flags
}

func (e *encoder) bytes(field protowire.Number, b []byte) {
	e.wire = protowire.AppendTag(e.wire, field, protowire.BytesType)
	e.wire = protowire.AppendBytes(e.wire, b)
}

func (e *encoder) time(field protowire.Number, t time.Time) {
	e.wire = protowire.AppendTag(e.wire, field, protowire.Fixed64Type)
	e.wire = protowire.AppendFixed64(e.wire, uint64(t.UnixNano()))
}

// stateEvents are the events of states but for their times, made once.
var stateEvents = func() (events [collector.BoundInactive + 1][]byte) {
	for s := range events {
		name := collector.State(s).String()
		if name == "" {
			continue
		}
		a := attributes{field: fieldEventAttributes}
		a.wire = protowire.AppendTag(a.wire, fieldEventName, protowire.BytesType)
		a.wire = protowire.AppendString(a.wire, name)
		a.String(collector.KeyState, name)
		events[s] = a.wire
	}
	return events
}()

// state adds the event that a state was entered.
func (e *encoder) state(s collector.State, at time.Time) {
	if int(s) < len(stateEvents) && stateEvents[s] != nil { // else newer than this program
		e.event(at, stateEvents[s])
	}
}

// event adds an event, of which all but its time is encoded.
func (e *encoder) event(at time.Time, rest []byte) {
	e.wire = protowire.AppendTag(e.wire, fieldEvents, protowire.BytesType)
	e.wire = protowire.AppendVarint(e.wire, uint64(sizeOfTag+8+len(rest)))
	e.time(fieldEventTime, at)
	e.wire = append(e.wire, rest...)
}

// addHolder adds the event that a socket held the port.
func (e *encoder) addHolder(visit func(collector.Visitor)) {
	e.scratch.wire, e.scratch.field = e.scratch.wire[:0], fieldEventAttributes
	e.scratch.wire = protowire.AppendTag(e.scratch.wire, fieldEventName, protowire.BytesType)
	e.scratch.wire = protowire.AppendString(e.scratch.wire, "holder")
	visit(&e.scratch)
	e.event(e.at, e.scratch.wire)
}

// errno makes the span an error, described by the errno's name or, where the
// program was given none, by the other words. Without both it is none.
func (e *encoder) errno(errno unix.Errno, otherwise string) {
	description := otherwise
	if errno != 0 {
		description = errnoName(errno)
	}
	if description != "" {
		e.failed(description)
	}
}

func errnoName(errno unix.Errno) string {
	if name := unix.ErrnoName(errno); name != "" {
		return name
	}
	return errno.Error()
}

func (e *encoder) failed(description string) {
	const code = tracepb.Status_STATUS_CODE_ERROR
	description = validText(description)
	e.wire = protowire.AppendTag(e.wire, fieldStatus, protowire.BytesType)
	e.wire = protowire.AppendVarint(e.wire, uint64(
		sizeOfTag+protowire.SizeBytes(len(description))+sizeOfTag+protowire.SizeVarint(uint64(code))))
	e.wire = protowire.AppendTag(e.wire, fieldStatusMessage, protowire.BytesType)
	e.wire = protowire.AppendString(e.wire, description)
	e.wire = protowire.AppendTag(e.wire, fieldStatusCode, protowire.VarintType)
	e.wire = protowire.AppendVarint(e.wire, uint64(code))
}

// finish is the span as a field of a ScopeSpans, in memory of its own.
func (e *encoder) finish() encoded {
	s := make(encoded, 0, sizeOfTag+protowire.SizeBytes(len(e.wire)))
	s = protowire.AppendTag(s, fieldSpans, protowire.BytesType)
	return protowire.AppendBytes(s, e.wire)
}
