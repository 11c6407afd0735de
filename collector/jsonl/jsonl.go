// Package jsonl writes facts as JSON Lines.
//
//	Fact ─→ Visit ─→ encoder (appends to one buffer) ─→ one Write a line
//
// The encoder appends by hand: the keys are known to need no escaping, and a
// line a connection must stay far cheaper than the connection.
package jsonl

import (
	"encoding/hex"
	"io"
	"math"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"brink/collector"
)

// Sink writes each fact as one line. Identify, if set, adds the trace identity
// of a connection, in hexadecimal.
type Sink struct {
	W        io.Writer
	Identify func(*collector.Connection) (traceID [16]byte, spanID [8]byte)

	e      encoder
	failed atomic.Uint64
}

// Failed is how many lines could not be written.
func (s *Sink) Failed() uint64 { return s.failed.Load() }

// Accept implements collector.Sink.
func (s *Sink) Accept(f collector.Fact) {
	s.e.b = append(s.e.b[:0], `{"kind":"`...)
	s.e.b = append(s.e.b, f.Kind()...)
	s.e.b = append(s.e.b, '"')
	f.Visit(&s.e)
	if c, ok := f.(*collector.Connection); ok && s.Identify != nil {
		trace, span := s.Identify(c)
		s.e.hex("trace_id", trace[:])
		s.e.hex("span_id", span[:])
	}
	s.e.b = append(s.e.b, '}', '\n')
	if _, err := s.W.Write(s.e.b); err != nil {
		s.failed.Add(1)
	}
}

// Marshal is one object, without its braces' newline: for what is no fact.
func Marshal(kind string, visit func(collector.Visitor)) []byte {
	e := encoder{b: append([]byte(`{"kind":"`), kind+`"`...)}
	visit(&e)
	return append(e.b, '}', '\n')
}

var _ collector.Writer = (*encoder)(nil)

type encoder struct {
	b      []byte
	clock  clock
	owners [16]ownerFields
}

// ownerFields are how an owner was written: most come again and again.
type ownerFields struct {
	is     collector.Owner
	second int64 // of the line that it was written in
	bytes  []byte
}

// after is the line so far and a key, for the value to be put after. All goes
// through slices in registers: e is written to once a field.
func (e *encoder) after(key string) []byte {
	b := e.b
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(append(append(b, '"'), key...), '"', ':')
}

func (e *encoder) String(key, value string) {
	e.b = appendString(e.after(key), value)
}

func (e *encoder) Int(key string, value int64) {
	e.b = strconv.AppendInt(e.after(key), value, 10)
}

func (e *encoder) Uint(key string, value uint64) {
	e.b = strconv.AppendUint(e.after(key), value, 10)
}

// Float leaves out what JSON has no word for: infinity and NaN.
func (e *encoder) Float(key string, value float64) {
	if math.IsInf(value, 0) || math.IsNaN(value) {
		return
	}
	e.b = strconv.AppendFloat(e.after(key), value, 'g', -1, 64)
}

func (e *encoder) Bool(key string, value bool) {
	e.b = strconv.AppendBool(e.after(key), value)
}

func (e *encoder) Time(key string, value time.Time) {
	e.b = e.clock.append(e.after(key), value)
}

// Addr implements collector.Writer.
func (e *encoder) Addr(key string, value netip.Addr) {
	b := e.after(key)
	if value.Zone() != "" { // a name, which may hold any byte
		e.b = appendString(b, value.String())
		return
	}
	e.b = append(value.AppendTo(append(b, '"')), '"')
}

// Bytes implements collector.Writer.
func (e *encoder) Bytes(key string, value []byte) {
	e.b = appendString(e.after(key), value)
}

// Owner implements collector.Writer. What it wrote serves for the line's second:
// where a process lives (its cgroup's path, its pod's name) may become known later.
func (e *encoder) Owner(o *collector.Owner, visit func(*collector.Owner, collector.Visitor)) {
	before := &e.owners[o.PID%uint32(len(e.owners))]
	if before.is == *o && before.second == e.clock.second {
		e.b = append(e.b, before.bytes...)
		return
	}
	from := len(e.b)
	visit(o, e)
	before.is, before.second = *o, e.clock.second
	before.bytes = append(before.bytes[:0], e.b[from:]...)
}

// openings are the objects of states up to their times.
var openings = func() (openings [collector.BoundInactive + 1]string) {
	for s := range openings {
		e := encoder{b: []byte("{")}
		e.String(collector.KeyState, collector.State(s).String())
		openings[s] = string(e.after("at_ns"))
	}
	return openings
}()

// States implements collector.Writer.
func (e *encoder) States(key string, states []collector.StateAt) {
	b := append(e.after(key), '[')
	for i := range states {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, openings[states[i].State]...)
		b = append(strconv.AppendInt(b, int64(states[i].At), 10), '}')
	}
	e.b = append(b, ']')
}

func (e *encoder) hex(key string, value []byte) {
	e.b = append(hex.AppendEncode(append(e.after(key), '"'), value), '"')
}

func (e *encoder) Object(key string, visit func(collector.Visitor)) {
	e.b = append(e.after(key), '{')
	visit(e)
	e.b = append(e.b, '}')
}

func (e *encoder) List(key string, n int, item func(int, collector.Visitor)) {
	e.b = append(e.after(key), '[')
	for i := range n {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = append(e.b, '{')
		item(i, e)
		e.b = append(e.b, '}')
	}
	e.b = append(e.b, ']')
}

const hexDigits = "0123456789abcdef"

// appendString quotes s. A task's name may hold any byte: what is not UTF-8
// becomes the replacement character, as encoding/json does it.
func appendString[S string | []byte](b []byte, s S) []byte {
	b = append(b, '"')
	if isPlain(s) {
		return append(append(b, s...), '"')
	}
	for _, r := range string(s) {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// isPlain: nothing in s needs another form. Nearly nothing ever does.
func isPlain[S string | []byte](s S) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
