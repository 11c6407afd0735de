package otlp

import (
	"iter"
	"math"
	"time"

	"brink/collector"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// attributes collects what a fact's Visit says. It leaves out what a span has a
// place of its own for: times, the duration, which step of a TIME_WAIT it was,
// and the states, which become events.
type attributes struct {
	list []attribute.KeyValue
	// holders are the sockets in a bind's way, one list of attributes each.
	holders [][]attribute.KeyValue
}

// of visits a fact and returns its attributes, valid until the next call.
func (a *attributes) of(f collector.Fact) []attribute.KeyValue {
	a.list, a.holders = a.list[:0], nil
	f.Visit(a)
	return a.list
}

// String implements collector.Visitor.
func (a *attributes) String(key, value string) {
	if key == "event" {
		return
	}
	a.list = append(a.list, attribute.String(key, value))
}

// Int implements collector.Visitor.
func (a *attributes) Int(key string, value int64) {
	if key == "duration_ns" {
		return
	}
	a.list = append(a.list, attribute.Int64(key, value))
}

// Uint implements collector.Visitor. An attribute has no unsigned numbers; only
// a limit that means "without limit" is ever too large.
func (a *attributes) Uint(key string, value uint64) {
	a.list = append(a.list, attribute.Int64(key, int64(min(value, math.MaxInt64))))
}

// Float implements collector.Visitor.
func (a *attributes) Float(key string, value float64) {
	if math.IsInf(value, 0) || math.IsNaN(value) {
		return
	}
	a.list = append(a.list, attribute.Float64(key, value))
}

// Bool implements collector.Visitor.
func (a *attributes) Bool(key string, value bool) {
	a.list = append(a.list, attribute.Bool(key, value))
}

// Time implements collector.Visitor: a span's times are not attributes.
func (a *attributes) Time(string, time.Time) {}

// List implements collector.Visitor. States are not visited: the connection
// lists them more cheaply (see stateEvent).
func (a *attributes) List(key string, items iter.Seq[func(collector.Visitor)]) {
	if key != collector.KeyHolders {
		return
	}
	for visit := range items {
		var holder attributes
		visit(&holder)
		a.holders = append(a.holders, holder.list)
	}
}

// Object implements collector.Visitor: the nested object's fields become
// attributes of the span, below the object's name.
func (a *attributes) Object(key string, visit func(collector.Visitor)) {
	var object attributes
	visit(&object)
	for _, kv := range object.list {
		kv.Key = attribute.Key(key) + "." + kv.Key
		a.list = append(a.list, kv)
	}
}

// stateEvents are the attributes of a state's event, made once.
var stateEvents = func() (options [collector.BoundInactive + 1]trace.EventOption) {
	for s := range options {
		name := collector.State(s).String()
		options[s] = trace.WithAttributes(attribute.String(collector.KeyState, name))
	}
	return options
}()

// addState adds the event that a state was entered.
func addState(span trace.Span, s collector.State, at time.Time) {
	if int(s) >= len(stateEvents) || s.String() == "" {
		return // newer than this program
	}
	span.AddEvent(s.String(), stateEvents[s], trace.WithTimestamp(at))
}
