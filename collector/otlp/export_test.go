package otlp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"brink/collector"

	"go.opentelemetry.io/collector/pdata/ptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// environment sets the OTEL_* variables to these, and to none else.
func environment(t testing.TB, variables map[string]string) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "") // empty is unset, says the specification
		}
	}
	for name, value := range variables {
		t.Setenv(name, value)
	}
}

func newExporter(t testing.TB, o Options) *Exporter {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var _ collector.Sink = e
	return e
}

// shutdown flushes an exporter that has no reason to fail.
func shutdown(t testing.TB, e *Exporter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// exported runs work with an exporter to a file and returns what the file holds.
func exported(t testing.TB, work func(*Exporter)) []*tracepb.Span {
	t.Helper()
	file := filepath.Join(t.TempDir(), "spans.otlp.jsonl")
	e := newExporter(t, Options{File: file})
	work(e)
	shutdown(t, e)
	if e.Failed() != 0 {
		t.Errorf("%d spans failed", e.Failed())
	}
	var spans []*tracepb.Span
	for _, r := range readFile(t, file) {
		spans = append(spans, spansOf(r)...)
	}
	return spans
}

// readFile reads spans back as the Collector's otlpjsonfile receiver does: a
// line at a time, and strictly.
func readFile(t testing.TB, file string) (all []*tracepb.ResourceSpans) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		all = append(all, parseLine(t, lines.Bytes()).ResourceSpans...)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func parseLine(t testing.TB, line []byte) *tracepb.TracesData {
	t.Helper()
	traces, err := (&ptrace.JSONUnmarshaler{DisallowUnknownFields: true}).UnmarshalTraces(line)
	if err != nil {
		t.Fatalf("%v in line %.200s", err, line)
	}
	wire, err := new(ptrace.ProtoMarshaler).MarshalTraces(traces)
	if err != nil {
		t.Fatal(err)
	}
	data := &tracepb.TracesData{}
	if err := proto.Unmarshal(wire, data); err != nil {
		t.Fatal(err)
	}
	return data
}

func spansOf(r *tracepb.ResourceSpans) (spans []*tracepb.Span) {
	for _, scope := range r.ScopeSpans {
		spans = append(spans, scope.Spans...)
	}
	return spans
}

// one is the only span of that name.
func one(t testing.TB, spans []*tracepb.Span, name string) *tracepb.Span {
	t.Helper()
	found := named(spans, name)
	if len(found) != 1 {
		t.Fatalf("%d spans named %q among %v, want one", len(found), name, namesOf(spans))
	}
	return found[0]
}

func named(spans []*tracepb.Span, name string) (found []*tracepb.Span) {
	for _, s := range spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

func namesOf(spans []*tracepb.Span) (names []string) {
	for _, s := range spans {
		names = append(names, s.Name)
	}
	return names
}

// attributeOf is an attribute's value as text; "" is absent.
func attributeOf(s *tracepb.Span, key string) string {
	for _, kv := range s.Attributes {
		if kv.Key == key {
			return valueText(kv.Value)
		}
	}
	return ""
}

// isChild checks that a span hangs below another, in its trace.
func isChild(t testing.TB, child, parent *tracepb.Span) {
	t.Helper()
	if got, want := hex.EncodeToString(child.ParentSpanId), hex.EncodeToString(parent.SpanId); got != want {
		t.Errorf("parent of %q is %q, want %s (%q)", child.Name, got, want, parent.Name)
	}
	if !bytes.Equal(child.TraceId, parent.TraceId) {
		t.Errorf("%q is in trace %x, %q in %x", child.Name, child.TraceId, parent.Name, parent.TraceId)
	}
}

func isRoot(t testing.TB, s *tracepb.Span) {
	t.Helper()
	if len(s.ParentSpanId) != 0 {
		t.Errorf("%q has the parent %x, want none", s.Name, s.ParentSpanId)
	}
}

// noLeak fails the test when it ends with more goroutines than it began with.
func noLeak(t testing.TB) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		deadline := time.Now().Add(2 * time.Second)
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				stacks = stacks[:runtime.Stack(stacks, true)]
				t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks)
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}
