package otlp

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"brink/collector"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// receiver is an OTLP backend, over gRPC and over HTTP.
type receiver struct {
	collectorpb.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []*tracepb.ResourceSpans
}

func (r *receiver) Export(_ context.Context, q *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = append(r.spans, q.ResourceSpans...)
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	request := &collectorpb.ExportTraceServiceRequest{}
	if err == nil {
		err = proto.Unmarshal(body, request)
	}
	if err != nil || q.URL.Path != "/v1/traces" {
		http.Error(w, fmt.Sprint(q.URL.Path, err), http.StatusBadRequest)
		return
	}
	r.Export(q.Context(), request)
}

func (r *receiver) received() []*tracepb.ResourceSpans {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spans
}

func serveGRPC(t *testing.T, r *receiver) (endpoint string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(s, r)
	go s.Serve(listener)
	t.Cleanup(s.Stop)
	return "http://" + listener.Addr().String()
}

func serveHTTP(t *testing.T, r *receiver) (endpoint string) {
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return s.URL
}

// tellAll is one of everything that makes a span.
func tellAll(t *testing.T, e *Exporter) {
	c := client()
	c.timeWait = true
	c.tell(t, e.Accept)
	server().tell(t, e.Accept)
	refused().tell(t, e.Accept)
	e.Accept(aLimitHit())
	e.Accept(aBindConflict())
	e.Accept(&collector.StateChange{Time: at(0), New: collector.SynSent})
	c.step(t, collector.TimeWaitLeave, 65*time.Second, e.Accept)
}

func TestReceivers(t *testing.T) {
	for protocol, serve := range map[string]func(*testing.T, *receiver) string{
		"grpc": serveGRPC, "http/protobuf": serveHTTP,
	} {
		t.Run(protocol, func(t *testing.T) {
			noLeak(t)
			r := &receiver{}
			environment(t, map[string]string{
				"OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
				"OTEL_EXPORTER_OTLP_ENDPOINT": serve(t, r),
				"OTEL_RESOURCE_ATTRIBUTES":    "deployment.environment.name=lab",
			})
			file := filepath.Join(t.TempDir(), "spans.otlp.jsonl")
			e := newExporter(t, Options{File: file, ServiceVersion: "1.2.3"})
			tellAll(t, e)
			shutdown(t, e)
			if e.Dropped() != 0 || e.Failed() != 0 {
				t.Errorf("dropped %d, failed %d", e.Dropped(), e.Failed())
			}
			check(t, "the endpoint", r.received())
			check(t, "the file", readFile(t, file))
		})
	}
}

// check compares everything that was told by tellAll.
func check(t *testing.T, where string, all []*tracepb.ResourceSpans) {
	t.Run(where, func(t *testing.T) {
		var spans []*tracepb.Span
		for _, r := range all {
			checkResource(t, r)
			spans = append(spans, spansOf(r)...)
		}
		if len(spans) != 6 {
			t.Fatalf("spans %q, want 6", namesOf(spans))
		}
		checkConnections(t, spans)
		checkRefusals(t, spans)
	})
}

func checkResource(t *testing.T, r *tracepb.ResourceSpans) {
	var got []string
	for _, kv := range r.Resource.Attributes {
		got = append(got, kv.Key+"="+valueText(kv.Value))
	}
	for _, want := range []string{"service.name=brink", "service.version=1.2.3",
		"deployment.environment.name=lab", "telemetry.sdk.language=go"} {
		if !slices.Contains(got, want) {
			t.Errorf("resource %q lacks %s", got, want)
		}
	}
}

func checkConnections(t *testing.T, spans []*tracepb.Span) {
	clients := named(spans, "tcp client connection")
	if len(clients) != 2 {
		t.Fatalf("%d client spans, want 2", len(clients))
	}
	failed, c := clients[0], clients[1] // failures are sent first
	s := one(t, spans, "tcp server connection")
	timeWait := one(t, spans, "tcp time_wait")

	fact := connectionOf(t, client())
	id, span, _ := Identity(&fact)
	if hex.EncodeToString(c.TraceId) != id.String() || hex.EncodeToString(c.SpanId) != span.String() {
		t.Errorf("client span %x in %x, want %v in %v", c.SpanId, c.TraceId, span, id)
	}
	isRoot(t, c)
	isRoot(t, failed)
	isChild(t, s, c)
	isChild(t, timeWait, c)

	compare(t, c, `CLIENT 1s..5s UNSET ""
brink.bytes_received=0
brink.bytes_sent=0
brink.role=client
network.local.address=10.0.0.1
network.local.port=40000
network.peer.address=10.0.0.2
network.peer.port=80
network.transport=tcp
network.type=ipv4
process.executable.name=curl
process.pid=4711
process.user.id=1000
1s syn_sent network.connection.state=syn_sent
2s established network.connection.state=established
4s fin_wait_1 network.connection.state=fin_wait_1
5s time_wait network.connection.state=time_wait`)
	compare(t, s, `SERVER 1s..5s UNSET ""
brink.bytes_received=0
brink.bytes_sent=0
brink.role=server
network.local.address=192.168.7.7
network.local.port=8080
network.peer.address=203.0.113.9
network.peer.port=61001
network.transport=tcp
network.type=ipv4
process.executable.name=curl
process.pid=4711
process.user.id=1000
1s syn_received network.connection.state=syn_received
2s established network.connection.state=established
4s fin_wait_1 network.connection.state=fin_wait_1
5s closed network.connection.state=closed`)
	compare(t, failed, `CLIENT 1s..5s ERROR "ECONNREFUSED"
brink.errno=ECONNREFUSED
brink.role=client
error.type=connection_refused
network.local.address=10.0.0.1
network.local.port=40000
network.peer.address=10.0.0.2
network.peer.port=80
network.transport=tcp
network.type=ipv4
process.executable.name=curl
process.pid=4711
process.user.id=1000
1s syn_sent network.connection.state=syn_sent
5s closed network.connection.state=closed`)
	compare(t, timeWait, `INTERNAL 5s..1m5s UNSET ""
brink.time_wait.kind=time_wait
network.local.address=10.0.0.1
network.local.port=40000
network.peer.address=10.0.0.2
network.peer.port=80
network.transport=tcp
network.type=ipv4
process.executable.name=curl
process.pid=4711
process.user.id=1000`)
}

func checkRefusals(t *testing.T, spans []*tracepb.Span) {
	hit, conflict := one(t, spans, "limit_hit ephemeral_ports"), one(t, spans, "bind_conflict")
	isRoot(t, hit)
	isRoot(t, conflict)
	compare(t, hit, `INTERNAL 7s..7s ERROR "EADDRNOTAVAIL"
brink.errno=EADDRNOTAVAIL
brink.limit.knob=net.ipv4.ip_local_port_range
brink.limit.max=200
brink.limit.used=200
brink.limit=ephemeral_ports
error.type=address_not_available
network.peer.address=10.0.0.2
network.peer.port=80
network.transport=tcp
network.type=ipv4
process.pid=12
process.user.id=0`)
	compare(t, conflict, `INTERNAL 8s..8s ERROR "EADDRINUSE"
brink.errno=EADDRINUSE
brink.remedy=SO_REUSEPORT on all, by one user
brink.reuseaddr=false
brink.reuseport=false
error.type=address_in_use
network.local.address=10.0.0.2
network.local.port=80
network.transport=tcp
network.type=ipv4
8s holder process.pid=77 process.executable.name=nginx process.user.id=0 network.transport=tcp network.connection.state=listen network.local.address=10.0.0.2 network.local.port=80 brink.reuseaddr=false brink.reuseport=false
8s holder network.transport=tcp network.connection.state=time_wait network.local.address=10.0.0.2 network.local.port=80 network.peer.address=10.0.0.1 network.peer.port=40000 brink.reuseaddr=false brink.reuseport=false`)
}

func compare(t *testing.T, s *tracepb.Span, want string) {
	t.Helper()
	if got := describe(s); got != want {
		t.Errorf("%s:\n%s\nwant\n%s", s.Name, got, want)
	}
}

// describe is a span without its name and ids: a line with kind, times and
// status, the attributes sorted, then the events.
func describe(s *tracepb.Span) string {
	since := func(ns uint64) time.Duration { return time.Unix(0, int64(ns)).Sub(booted) }
	attributes := textOf(s.Attributes)
	slices.Sort(attributes)
	lines := append([]string{fmt.Sprintf("%s %v..%v %s %q",
		strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"),
		since(s.StartTimeUnixNano), since(s.EndTimeUnixNano),
		strings.TrimPrefix(s.GetStatus().GetCode().String(), "STATUS_CODE_"), s.GetStatus().GetMessage())},
		attributes...)
	for _, e := range s.Events {
		lines = append(lines, fmt.Sprint(since(e.TimeUnixNano), " ", e.Name, " ", strings.Join(textOf(e.Attributes), " ")))
	}
	return strings.Join(lines, "\n")
}

func textOf(attributes []*commonpb.KeyValue) (text []string) {
	for _, kv := range attributes {
		text = append(text, kv.Key+"="+valueText(kv.Value))
	}
	return text
}

func valueText(v *commonpb.AnyValue) string {
	switch v := v.Value.(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *commonpb.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	}
	return fmt.Sprintf("%v?", v)
}
