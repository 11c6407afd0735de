package backends

import (
	"net/url"
	"strings"
	"testing"
)

// Jaeger keeps traces in memory.
type Jaeger struct{ *Process }

// StartJaeger builds Jaeger if need be, and starts it.
func StartJaeger(t testing.TB) *Jaeger {
	t.Helper()
	binary, err := jaegerBinary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := NewAddress()
	j := &Jaeger{&Process{
		Address: at, t: t, name: "Jaeger", ready: answers("http://" + at + ":14269/"),
		args: []string{binary,
			"--admin.http.host-port=" + at + ":14269",
			"--collector.grpc-server.host-port=" + at + ":14250",
			"--collector.http-server.host-port=" + at + ":14268",
			"--collector.otlp.grpc.host-port=" + at + ":4317",
			"--collector.otlp.http.host-port=" + at + ":4318",
			"--query.grpc-server.host-port=" + at + ":16685",
			"--query.http-server.host-port=" + at + ":16686",
		},
	}}
	j.start()
	return j
}

// OTLP is where it takes spans by gRPC.
func (j *Jaeger) OTLP() string { return "http://" + j.Address + ":4317" }

// OTLPHTTP is where it takes spans as protobuf over HTTP.
func (j *Jaeger) OTLPHTTP() string { return "http://" + j.Address + ":4318" }

// Traces are those that have a span with all of these tags, and are brink's.
func (j *Jaeger) Traces(tags map[string]string) []Trace {
	j.t.Helper()
	query := url.Values{"service": {"brink"}, "limit": {"1000"}, "lookback": {"1h"}, "tags": {mustJSON(tags)}}
	var answer struct{ Data []Trace }
	getJSON(j.t, "http://"+j.Address+":16686/api/traces?"+query.Encode(), &answer)
	return answer.Data
}

// AwaitTrace waits for the one trace that passes, out of those with the tags:
// spans come one after the other, and Jaeger shows what it has.
func (j *Jaeger) AwaitTrace(what string, tags map[string]string, passes func(Trace) bool) Trace {
	j.t.Helper()
	var found []Trace
	Eventually(j.t, what, func() bool {
		found = found[:0]
		for _, trace := range j.Traces(tags) {
			if passes(trace) {
				found = append(found, trace)
			}
		}
		return len(found) > 0
	})
	if len(found) > 1 {
		j.t.Fatalf("%s: %d traces in place of one", what, len(found))
	}
	return found[0]
}

// A Trace is as Jaeger's API says it.
type Trace struct {
	TraceID   string
	Spans     []Span
	Processes map[string]struct {
		ServiceName string
		Tags        Tags
	}
}

// Find are the trace's spans of one name.
func (t Trace) Find(name string) (found []Span) {
	for _, s := range t.Spans {
		if s.OperationName == name {
			found = append(found, s)
		}
	}
	return found
}

// ByID is the span with an ID, which the trace may not have.
func (t Trace) ByID(id string) (Span, bool) {
	for _, s := range t.Spans {
		if s.SpanID == id {
			return s, true
		}
	}
	return Span{}, false
}

// A Span is as Jaeger's API says it; times are in microseconds.
type Span struct {
	TraceID, SpanID, OperationName, ProcessID string
	References                                []struct{ RefType, TraceID, SpanID string }
	StartTime, Duration                       int64
	Tags                                      Tags
	Logs                                      []struct {
		Timestamp int64
		Fields    Tags
	}
}

// Parent is the ID of the span that it is a child of; empty for a root.
func (s Span) Parent() string {
	for _, r := range s.References {
		if r.RefType == "CHILD_OF" && r.TraceID == s.TraceID {
			return r.SpanID
		}
	}
	return ""
}

// Events are the names of its events, in order.
func (s Span) Events() (names []string) {
	for _, l := range s.Logs {
		names = append(names, l.Fields.Text("event"))
	}
	return names
}

// Tags are attributes, and what Jaeger makes tags of: span.kind,
// otel.status_code, otel.status_description.
type Tags []struct {
	Key   string
	Value any
}

// Get is a tag's value: a string, a float64 or a bool; nil where there is none.
func (t Tags) Get(key string) any {
	for _, tag := range t {
		if tag.Key == key {
			return tag.Value
		}
	}
	return nil
}

// Text is a tag's value that is a string.
func (t Tags) Text(key string) string {
	text, _ := t.Get(key).(string)
	return strings.TrimSpace(text)
}

// Number is a tag's value that is a number.
func (t Tags) Number(key string) float64 {
	number, _ := t.Get(key).(float64)
	return number
}
