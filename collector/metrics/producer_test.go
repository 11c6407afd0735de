package metrics

import (
	"context"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"brink/bpf"
	"brink/collector"
	"brink/collector/limits"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sys/unix"
)

const aNetns = 4026531999

func someLives() (map[bpf.BrinkLivesKey]bpf.BrinkLives, error) {
	sums := bpf.BrinkLives{Opened: 10, Ended: 8, BytesSent: 1000, BytesReceived: 50, HandshakeNs: 2e9, LifetimeNs: 40e9}
	sums.Handshake[0], sums.Handshake[15] = 9, 1
	sums.Lifetime[9] = 8
	return map[bpf.BrinkLivesKey]bpf.BrinkLives{
		{Netns: aNetns, Role: uint8(collector.RoleClient), Family: unix.AF_INET}: sums,
		{Netns: aNetns, Role: uint8(collector.RoleClient), Family: unix.AF_INET6,
			Failure: uint8(collector.SYNTimeout)}: {Ended: 3},
	}, nil
}

func someTimeWaits() (map[bpf.BrinkTimeWaitsKey]uint64, error) {
	return map[bpf.BrinkTimeWaitsKey]uint64{
		{Netns: aNetns, Event: uint8(bpf.BrinkTimeWaitEventTIME_WAIT_ENTER), Substate: uint8(collector.TimeWaitState)}: 7,
		{Netns: aNetns, Event: uint8(bpf.BrinkTimeWaitEventTIME_WAIT_REUSE_SYN)}:                                       2,
	}, nil
}

func someHits() *Hits {
	h := &Hits{Identify: func(collector.Fact) trace.SpanContext {
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	}}
	h.Accept(&collector.LimitHit{Time: time.Now(), Limit: limits.EphemeralPorts, Errno: unix.EADDRNOTAVAIL, Netns: aNetns})
	h.Accept(&collector.LimitHit{Time: time.Now(), Limit: limits.EphemeralPorts, Errno: unix.EADDRNOTAVAIL, Netns: aNetns, Count: 41})
	h.Accept(&collector.BindConflict{Time: time.Now(), Errno: unix.EADDRINUSE, Netns: aNetns})
	return h
}

func someReadings() *Readings {
	private, public := netip.MustParseAddrPort("10.0.0.1:443"), netip.MustParseAddrPort("93.184.215.14:443")
	source := netip.MustParseAddrPort("10.0.0.2:0")
	return &Readings{Interval: time.Minute, snapshot: limits.Snapshot{Time: time.Now(), Readings: []limits.Reading{
		{Limit: limits.EphemeralPorts, Netns: aNetns, Local: source, Peer: public, Used: 90, Max: 100, Rate: 1, Rated: true},
		{Limit: limits.EphemeralPorts, Netns: aNetns, Local: source, Peer: private, Used: 80, Max: 100, Rate: 20, Rated: true},
		{Limit: limits.AcceptQueue, Netns: aNetns, Local: netip.MustParseAddrPort("0.0.0.0:80"), Process: "nginx", PID: 12, Used: 3, Max: 512},
		{Limit: limits.FileDescriptors, PID: 12, Process: "nginx", Used: 10, Max: 1024},
		{Limit: limits.FileDescriptors, PID: 13, Process: "nginx", Used: 9, Max: 1024},
		{Limit: limits.TimeWaitBuckets, Netns: aNetns, Used: 5, Max: 131072},
	}, Connections: []limits.Connections{{Netns: aNetns, State: 1, Count: 33}}}}
}

func someProducer() *Producer {
	return New(Options{
		Start: time.Now().Add(-time.Minute), Hits: someHits(), Readings: someReadings(),
		Lives: someLives, TimeWaits: someTimeWaits,
		Summary: func() (collector.Summary, error) { return collector.Summary{Events: 4, Lost: 1}, nil },
		Modes:   func() []Mode { return []Mode{{"state", "fentry"}} },
		Spans:   func() Spans { return Spans{Sent: 5} },
	})
}

// scrape is what Prometheus reads.
func scrape(t *testing.T, p *Producer, accept string) string {
	t.Helper()
	e, err := Export(context.Background(), p, resource.Empty())
	noError(t, err)
	defer e.Shutdown(context.Background())
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	e.Handler.ServeHTTP(w, r)
	equal(t, "status", w.Code, 200)
	return w.Body.String()
}

func TestScrape(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	body := scrape(t, someProducer(), "text/plain")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	noError(t, err)
	if len(families) < 20 {
		t.Errorf("%d families", len(families))
	}
	for _, line := range []string{
		`brink_connection_opened_total{brink_netns="4026531999",brink_role="client",network_type="ipv4"} 10`,
		`brink_connection_closed_total{brink_netns="4026531999",brink_role="client",network_type="ipv4"} 8`,
		`brink_connection_failed_total{brink_failure="syn_timeout",brink_netns="4026531999",brink_role="client",error_type="timeout",network_type="ipv6"} 3`,
		`brink_connection_io_bytes_total{brink_netns="4026531999",brink_role="client",network_io_direction="transmit",network_type="ipv4"} 1000`,
		`brink_connection_handshake_duration_seconds_bucket{brink_netns="4026531999",brink_role="client",network_type="ipv4",le="5e-05"} 9`,
		`brink_connection_handshake_duration_seconds_count{brink_netns="4026531999",brink_role="client",network_type="ipv4"} 10`,
		`brink_connection_handshake_duration_seconds_sum{brink_netns="4026531999",brink_role="client",network_type="ipv4"} 2`,
		`brink_connection_duration_seconds_bucket{brink_netns="4026531999",brink_role="client",network_type="ipv4",le="5"} 8`,
		`brink_connection_duration_seconds_bucket{brink_netns="4026531999",brink_role="client",network_type="ipv4",le="1"} 0`,
		`brink_limit_hits_total{brink_limit="ephemeral_ports",brink_netns="4026531999",error_type="address_not_available"} 42`,
		`brink_limit_hits_total{brink_limit="bind_conflict",brink_netns="4026531999",error_type="address_in_use"} 1`,
		`brink_limit_usage{brink_limit="ephemeral_ports",brink_netns="4026531999"} 90`,
		`brink_limit_utilization_ratio{brink_limit="ephemeral_ports",brink_netns="4026531999"} 0.9`,
		`brink_limit_time_to_exhaustion_seconds{brink_limit="ephemeral_ports",brink_netns="4026531999"} 1`,
		`brink_limit_usage{brink_limit="file_descriptors",process_executable_name="nginx"} 10`,
		`brink_path_ports_usage{brink_netns="4026531999",network_local_address="10.0.0.2",network_peer_address="10.0.0.1",network_peer_port="443"} 80`,
		`brink_listener_accept_queue_usage{brink_netns="4026531999",network_local_address="0.0.0.0",network_local_port="80",process_executable_name="nginx"} 3`,
		`system_network_connection_count{brink_netns="4026531999",network_connection_state="established",network_transport="tcp",network_type="ipv4"} 33`,
		`brink_time_wait_entered_total{brink_netns="4026531999",brink_time_wait_kind="time_wait"} 7`,
		`brink_time_wait_reused_total{brink_netns="4026531999",brink_time_wait_reused_by="syn"} 2`,
		`brink_time_wait_count{brink_netns="4026531999"} 5`,
		`brink_events_lost_total{brink_reason="ring_full"} 1`,
		`brink_hook_mode{brink_hook="state",brink_rung="fentry"} 1`,
		`brink_spans_total{brink_outcome="sent"} 5`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	if strings.Contains(body, "93.184.215.14") {
		t.Error("an address of the internet became a label")
	}
	if t.Failed() {
		t.Log(body)
	}
}

// OpenMetrics shows the span of a refusal beside its count.
func TestExemplars(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	body := scrape(t, someProducer(), "application/openmetrics-text; version=1.0.0")
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, `brink_limit_hits_total{brink_limit="ephemeral_ports"`) {
			for _, part := range []string{`span_id="0200000000000000"`, `trace_id="01000000000000000000000000000000"`, `} 41.0 `} {
				if !strings.Contains(line, part) {
					t.Errorf("no %s in the exemplar: %s", part, line)
				}
			}
			return
		}
	}
	t.Error("no hits")
}

// Every instrument has a unit, a description, and a place in the table; what is
// produced is in it.
func TestInstruments(t *testing.T) {
	seen := map[string]bool{}
	for _, i := range instruments {
		if i.name == "" || i.unit == "" || !strings.HasSuffix(i.description, ".") || seen[i.name] {
			t.Errorf("%+v", *i)
		}
		seen[i.name] = true
	}
	scopes, err := someProducer().Produce(context.Background())
	noError(t, err)
	for _, m := range scopes[0].Metrics {
		if !seen[m.Name] {
			t.Errorf("%s is not in the table", m.Name)
		}
	}
}

func points(t *testing.T, p interface {
	Produce(context.Context) ([]metricdata.ScopeMetrics, error)
}, name string) any {
	t.Helper()
	scopes, err := p.Produce(context.Background())
	noError(t, err)
	for _, m := range scopes[0].Metrics {
		if m.Name == name {
			return m.Data
		}
	}
	t.Fatalf("no %s", name)
	return nil
}

// A backend that wants deltas gets what was added since the last time.
func TestDelta(t *testing.T) {
	p := someProducer()
	d := &Delta{From: p}
	sum := points(t, d, "brink.limit.hits").(metricdata.Sum[int64])
	equal(t, "temporality", sum.Temporality, metricdata.DeltaTemporality)
	first := sum.DataPoints[0].Time
	p.o.Hits.Accept(&collector.LimitHit{Time: time.Now(), Limit: limits.BindConflict, Errno: unix.EADDRINUSE, Netns: aNetns, Count: 5})
	var added int64
	again, err := d.Produce(context.Background())
	noError(t, err)
	for _, m := range again[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, point := range data.DataPoints {
				if m.Name == "brink.limit.hits" {
					added += point.Value
					equal(t, "interval begins when the last one ended", point.StartTime.Before(first), false)
				}
			}
		case metricdata.Histogram[float64]:
			equal(t, m.Name+": temporality", data.Temporality, metricdata.DeltaTemporality)
			equal(t, m.Name+": count", data.DataPoints[0].Count, 0)
		}
	}
	equal(t, "added", added, 5)
	whole := points(t, p, "brink.limit.hits").(metricdata.Sum[int64])
	equal(t, "the other reader's temporality", whole.Temporality, metricdata.CumulativeTemporality)
}

// What is gone is forgotten, and its series with it.
func TestForget(t *testing.T) {
	h := someHits()
	h.Forget(aNetns)
	equal(t, "keys", len(h.hits), 0)
}

// The keys are bounded; the sums stay exact.
func TestHitsAreBounded(t *testing.T) {
	var h Hits
	for netns := range uint32(3 * mostHits) {
		h.Accept(&collector.LimitHit{Limit: limits.EphemeralPorts, Netns: netns + 1, Errno: unix.EADDRNOTAVAIL})
	}
	if len(h.hits) > mostHits+1 {
		t.Errorf("%d keys", len(h.hits))
	}
	var sum uint64
	for _, x := range h.hits {
		sum += x.count
	}
	equal(t, "sum", sum, 3*mostHits)
}

// The cap holds for each instrument, and for what Prometheus reads.
func TestMaxSeries(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	const namespaces, most = 100, 10
	p := New(Options{MaxSeries: most, Lives: manyLives(namespaces)})
	sum := points(t, p, "brink.connection.opened").(metricdata.Sum[int64])
	equal(t, "series", len(sum.DataPoints), most)
	var all int64
	for _, d := range sum.DataPoints {
		all += d.Value
	}
	equal(t, "sum", all, namespaces)
	if body := scrape(t, p, "text/plain"); !strings.Contains(body, `brink_connection_opened_total{otel_metric_overflow="true"} 91`) {
		t.Error("no overflow series")
	}
}

func manyLives(namespaces uint32) func() (map[bpf.BrinkLivesKey]bpf.BrinkLives, error) {
	lives := map[bpf.BrinkLivesKey]bpf.BrinkLives{}
	for n := range namespaces {
		sums := bpf.BrinkLives{Opened: 1, Ended: 1, BytesSent: 1, BytesReceived: 1}
		sums.Handshake[1], sums.Lifetime[2] = 1, 1
		lives[bpf.BrinkLivesKey{Netns: 1 + n, Role: uint8(collector.RoleServer), Family: unix.AF_INET}] = sums
	}
	return func() (map[bpf.BrinkLivesKey]bpf.BrinkLives, error) { return lives, nil }
}

func BenchmarkProduce100Namespaces(b *testing.B) {
	p := New(Options{Lives: manyLives(100), Readings: someReadings(), Hits: someHits()})
	p.Produce(context.Background())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Produce(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
