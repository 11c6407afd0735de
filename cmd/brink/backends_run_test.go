package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brink/cmd/brink/backends"
	"brink/experiments/report"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// A route is one way that telemetry takes to where it is kept.
type route struct{ name, endpoint, protocol string }

// environment has brink take the route, and mark what it sends with a word that a
// backend can be asked for.
func (r route) environment(mark string) []string {
	return []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=" + r.protocol,
		"OTEL_RESOURCE_ATTRIBUTES=brink.test=" + mark,
	}
}

// marked is what to ask Jaeger for.
func marked(mark string) map[string]string { return map[string]string{"brink.test": mark} }

// TestRunInJaeger: by each way to get there, Jaeger has one trace an experiment,
// and in it every span that the run's own report has.
func TestRunInJaeger(t *testing.T) {
	needBackends(t)
	jaeger := backends.StartJaeger(t)
	kept := filepath.Join(t.TempDir(), "spans.jsonl")
	collector := startPipeline(t, jaeger, kept)
	for _, r := range []route{
		{"grpc", jaeger.OTLP(), "grpc"},
		{"http", jaeger.OTLPHTTP(), "http/protobuf"},
		{"collector", collector.OTLP(), "grpc"},
	} {
		t.Run(r.name, func(t *testing.T) {
			reported := runInto(t, r)
			told := experimentTraces(t, jaeger, r.name, len(reported))
			checkOneSource(t, told["one-source-many-ports"])
			checkSameTuple(t, told["same-tuple-twice"])
			for _, trace := range told {
				for _, s := range trace.Spans {
					if !reported[s.SpanID] {
						t.Errorf("the report does not have span %s, %q", s.SpanID, s.OperationName)
					}
				}
			}
			if r.name == "collector" {
				backends.Eventually(t, "the Collector's file to have all spans", func() bool {
					return maps.Equal(spanIDs(t, kept), reported)
				})
			}
		})
	}
}

// startPipeline is the Collector with the pipeline that brink ships, to Jaeger; it
// also keeps the spans in a file.
func startPipeline(t *testing.T, jaeger *backends.Jaeger, file string) *backends.Collector {
	t.Helper()
	return backends.StartCollector(t, []string{
		"deploy/collector.yaml",
		"yaml:exporters::file::path: " + file,
		"yaml:service::pipelines::traces::exporters: [otlp_grpc/traces, file]",
	}, []string{"TRACES_ENDPOINT=" + strings.TrimPrefix(jaeger.OTLP(), "http://")})
}

// runInto runs two experiments and returns the IDs of the spans in the report.
func runInto(t *testing.T, r route) map[string]bool {
	t.Helper()
	dir := out(t)
	cmd := brink(t, "run", "one-source-many-ports", "same-tuple-twice", "--out", dir)
	cmd.Env = append(cmd.Env, r.environment(r.name)...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return spanIDs(t, filepath.Join(dir, report.SpansFile))
}

// experimentTraces are the traces by experiment, once they have n spans.
func experimentTraces(t *testing.T, jaeger *backends.Jaeger, mark string, n int) map[string]backends.Trace {
	t.Helper()
	told := map[string]backends.Trace{}
	backends.Eventually(t, "all spans in Jaeger", func() bool {
		spans := 0
		traces := jaeger.Traces(marked(mark))
		for _, trace := range traces {
			spans += len(trace.Spans)
			for _, s := range trace.Spans {
				if name := s.Tags.Text("brink.experiment"); name != "" {
					told[name] = trace
				}
			}
		}
		return spans == n && len(traces) == 2 && len(told) == 2
	})
	return told
}

// checkOneSource: four connections in each of two legs, client above server.
func checkOneSource(t *testing.T, trace backends.Trace) {
	t.Helper()
	root := only(t, trace, "experiment one-source-many-ports")
	same(t, "root's parent", root.Parent(), "")
	same(t, "verdict", root.Tags.Text("brink.verdict"), "held")
	for _, name := range []string{"leg IPv4", "leg IPv6"} {
		same(t, name+"'s parent", only(t, trace, name).Parent(), root.SpanID)
	}
	perLeg := map[string]int{}
	for _, client := range trace.Find("tcp client connection") {
		leg, _ := trace.ByID(client.Parent())
		perLeg[leg.OperationName]++
		checkEnd(t, client, "client", "syn_sent")
	}
	if want := map[string]int{"leg IPv4": 4, "leg IPv6": 4}; !maps.Equal(perLeg, want) {
		t.Errorf("clients below their legs: %v, want %v", perLeg, want)
	}
	servers := trace.Find("tcp server connection")
	same(t, "servers", len(servers), 8)
	for _, server := range servers {
		client, _ := trace.ByID(server.Parent())
		checkEnd(t, server, "server", "syn_received")
		checkMirrored(t, client, server)
	}
}

// checkEnd: what one end of a connection within a lab says, in the conventions' words.
func checkEnd(t *testing.T, s backends.Span, role, first string) {
	t.Helper()
	same(t, "kind", s.Tags.Text("span.kind"), role)
	same(t, "role", s.Tags.Text("brink.role"), role)
	same(t, "transport", s.Tags.Text("network.transport"), "tcp")
	same(t, "process", s.Tags.Text("process.executable.name"), "brink-worker")
	checkEvents(t, s, first, "established", "closed")
}

// checkMirrored: they are the two ends of one connection, in one namespace.
func checkMirrored(t *testing.T, client, server backends.Span) {
	t.Helper()
	same(t, "the server's parent", client.OperationName, "tcp client connection")
	for _, side := range []string{"address", "port"} {
		same(t, "the server's peer", server.Tags.Get("network.peer."+side), client.Tags.Get("network.local."+side))
		same(t, "the client's peer", client.Tags.Get("network.peer."+side), server.Tags.Get("network.local."+side))
	}
	same(t, "namespace", server.Tags.Number("brink.netns"), client.Tags.Number("brink.netns"))
}

// checkSameTuple: the refusal is a span with the status of an error.
func checkSameTuple(t *testing.T, trace backends.Trace) {
	t.Helper()
	hits := trace.Find("limit_hit four_tuple")
	if len(hits) == 0 {
		t.Error("no span of the refusal")
	}
	for _, hit := range hits {
		same(t, "status", hit.Tags.Text("otel.status_code"), "ERROR")
		same(t, "description", hit.Tags.Text("otel.status_description"), "EADDRNOTAVAIL")
		same(t, "error.type", hit.Tags.Text("error.type"), "address_not_available")
		leg, _ := trace.ByID(hit.Parent())
		if !strings.HasPrefix(leg.OperationName, "leg ") {
			t.Errorf("the refusal is below %q", leg.OperationName)
		}
	}
}

// only is the trace's one span of a name.
func only(t *testing.T, trace backends.Trace, name string) backends.Span {
	t.Helper()
	found := trace.Find(name)
	if len(found) != 1 {
		t.Fatalf("%d spans %q in place of one", len(found), name)
	}
	return found[0]
}

// spanIDs reads OTLP/JSON, one value after the other: a file that is being written
// may end in the middle of one, and a Collector that was killed has left the end of
// the line out.
func spanIDs(t *testing.T, name string) map[string]bool {
	t.Helper()
	ids := map[string]bool{}
	file, err := os.Open(name)
	if err != nil {
		return ids // not yet there
	}
	defer file.Close()
	values := json.NewDecoder(file)
	for {
		var value json.RawMessage
		if values.Decode(&value) != nil {
			return ids
		}
		traces := must[ptrace.Traces](t)(new(ptrace.JSONUnmarshaler).UnmarshalTraces(value))
		for _, resource := range traces.ResourceSpans().All() {
			for _, scope := range resource.ScopeSpans().All() {
				for _, s := range scope.Spans().All() {
					ids[s.SpanID().String()] = true
				}
			}
		}
	}
}
