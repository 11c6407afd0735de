package otlp

import (
	"math"
	"strings"
	"testing"

	"brink/collector"

	"go.opentelemetry.io/otel/attribute"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// TestValues: every type of attribute, at its edges.
func TestValues(t *testing.T) {
	environment(t, nil)
	spans := exported(t, func(e *Exporter) {
		e.StartExperiment("x", attribute.Int64("least", -1<<63), attribute.Int64("zero", 0),
			attribute.Bool("true", true), attribute.Bool("false", false), attribute.Float64("float", -2.5),
			attribute.String("empty", ""), attribute.String("utf8", "ürgh"), attribute.StringSlice("list", []string{"a", "b"}),
		).End(nil, attribute.Int64("most", 1<<63-1))
	})
	s := one(t, spans, "experiment x")
	for key, want := range map[string]string{
		"least": "-9223372036854775808", "most": "9223372036854775807", "zero": "0", "true": "true", "false": "false",
		"empty": "", "utf8": "ürgh", "list": `["a","b"]`, "brink.experiment": "x",
	} {
		if got := attributeOf(s, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if len(s.Attributes) != 10 {
		t.Errorf("%d attributes: %v", len(s.Attributes), s.Attributes)
	}
	for _, kv := range s.Attributes {
		if kv.Key == "float" && kv.Value.GetDoubleValue() != -2.5 {
			t.Errorf("float is %v", kv.Value)
		}
	}
}

// TestNested: an object's fields get its name; what is no number is left out.
func TestNested(t *testing.T) {
	e := encoder{}
	e.begin(&span{})
	e.Object("outer", func(v collector.Visitor) {
		v.Object("inner", func(v collector.Visitor) { v.Uint("n", 1<<64-1) })
		v.Float("not", math.NaN())
		v.String("event", "has a place of its own")
	})
	e.Bool("after", true)
	r := &tracepb.ScopeSpans{}
	unmarshal(t, e.finish(), r)
	if got := describeAttributes(r.Spans[0]); got != "outer.inner.n=9223372036854775807 after=true" {
		t.Errorf("got %s", got)
	}
}

// TestNotUTF8: a process may have any name; protobuf's strings are UTF-8.
func TestNotUTF8(t *testing.T) {
	environment(t, nil)
	c := connectionOf(t, client())
	c.Owner.Comm = [16]byte{'a', 0xff, 0xfe, 'b'}
	spans := exported(t, func(e *Exporter) { e.Accept(&c) })
	if got := attributeOf(one(t, spans, "tcp client connection"), collector.KeyProcess); got != "a\uFFFDb" {
		t.Errorf("process is %q", got)
	}
}

func unmarshal(t *testing.T, wire []byte, m proto.Message) {
	t.Helper()
	if err := proto.Unmarshal(wire, m); err != nil {
		t.Fatal(err)
	}
}

func describeAttributes(s *tracepb.Span) string { return strings.Join(textOf(s.Attributes), " ") }
