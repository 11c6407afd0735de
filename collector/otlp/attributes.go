package otlp

import (
	"math"
	"strings"
	"time"

	"brink/collector"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/protobuf/encoding/protowire"
)

// attributes encodes what a fact's Visit says as OTLP's KeyValues, each one a
// field of that number. It leaves out what a span has a place of its own for:
// times, the duration, which step of a TIME_WAIT it was, and the states, which
// become events (see encoder).
type attributes struct {
	wire  []byte
	field protowire.Number
	// within is what keys are put below: an object's name and a dot.
	within string
	// holders are the sockets in a bind's way, told one after another.
	holder func(visit func(collector.Visitor))
}

// The fields of common.proto's KeyValue and AnyValue.
const (
	fieldKey       protowire.Number = 1
	fieldValue     protowire.Number = 2
	fieldString    protowire.Number = 1
	fieldBool      protowire.Number = 2
	fieldInt       protowire.Number = 3
	fieldDouble    protowire.Number = 4
	sizeOfTag                       = 1 // of any field number below 16
	sizeOfABoolean                  = sizeOfTag + 1
	sizeOfADouble                   = sizeOfTag + 8
)

// begin writes a KeyValue up to its value, which takes so many bytes.
func (a *attributes) begin(key string, size int) {
	keySize := len(a.within) + len(key)
	a.wire = protowire.AppendTag(a.wire, a.field, protowire.BytesType)
	a.wire = protowire.AppendVarint(a.wire, uint64(
		sizeOfTag+protowire.SizeBytes(keySize)+sizeOfTag+protowire.SizeBytes(size)))
	a.wire = protowire.AppendTag(a.wire, fieldKey, protowire.BytesType)
	a.wire = protowire.AppendVarint(a.wire, uint64(keySize))
	a.wire = append(append(a.wire, a.within...), key...)
	a.wire = protowire.AppendTag(a.wire, fieldValue, protowire.BytesType)
	a.wire = protowire.AppendVarint(a.wire, uint64(size))
}

// String implements collector.Visitor. A process may call itself anything
// (PR_SET_NAME takes bytes); one string that is not UTF-8 has a receiver refuse
// the whole batch.
func (a *attributes) String(key, value string) {
	if key == "event" {
		return
	}
	value = validText(value)
	a.begin(key, sizeOfTag+protowire.SizeBytes(len(value)))
	a.wire = protowire.AppendTag(a.wire, fieldString, protowire.BytesType)
	a.wire = protowire.AppendString(a.wire, value)
}

func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// Int implements collector.Visitor.
func (a *attributes) Int(key string, value int64) {
	if key == "duration_ns" {
		return
	}
	a.begin(key, sizeOfTag+protowire.SizeVarint(uint64(value)))
	a.wire = protowire.AppendTag(a.wire, fieldInt, protowire.VarintType)
	a.wire = protowire.AppendVarint(a.wire, uint64(value))
}

// Uint implements collector.Visitor. An attribute has no unsigned numbers; only
// a limit that means "without limit" is ever too large.
func (a *attributes) Uint(key string, value uint64) {
	a.Int(key, int64(min(value, math.MaxInt64)))
}

// Float implements collector.Visitor.
func (a *attributes) Float(key string, value float64) {
	if math.IsInf(value, 0) || math.IsNaN(value) {
		return
	}
	a.begin(key, sizeOfADouble)
	a.wire = protowire.AppendTag(a.wire, fieldDouble, protowire.Fixed64Type)
	a.wire = protowire.AppendFixed64(a.wire, math.Float64bits(value))
}

// Bool implements collector.Visitor.
func (a *attributes) Bool(key string, value bool) {
	a.begin(key, sizeOfABoolean)
	a.wire = protowire.AppendTag(a.wire, fieldBool, protowire.VarintType)
	a.wire = protowire.AppendVarint(a.wire, protowire.EncodeBool(value))
}

// Time implements collector.Visitor: a span's times are not attributes.
func (a *attributes) Time(string, time.Time) {}

// List implements collector.Visitor. States are not visited: the connection
// lists them more cheaply (see encoder.state).
func (a *attributes) List(key string, n int, item func(int, collector.Visitor)) {
	if key != collector.KeyHolders || a.holder == nil {
		return
	}
	for i := range n {
		a.holder(func(v collector.Visitor) { item(i, v) })
	}
}

// Object implements collector.Visitor: the nested object's fields become
// attributes of the span, below the object's name.
func (a *attributes) Object(key string, visit func(collector.Visitor)) {
	outer := a.within
	a.within += key + "."
	visit(a)
	a.within = outer
}

// keyValue adds an attribute that is no fact's: an experiment's.
func (a *attributes) keyValue(kv attribute.KeyValue) {
	switch key := string(kv.Key); kv.Value.Type() {
	case attribute.BOOL:
		a.Bool(key, kv.Value.AsBool())
	case attribute.INT64:
		a.Int(key, kv.Value.AsInt64())
	case attribute.FLOAT64:
		a.Float(key, kv.Value.AsFloat64())
	default: // lists as text
		a.String(key, kv.Value.Emit())
	}
}
