package main

import (
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"brink/cmd/brink/backends"
	"brink/experiments/lab"
)

// TestAgentThroughOutage: the Collector dies and comes back. What was told before,
// meanwhile and afterwards has arrived, or is counted as lost.
func TestAgentThroughOutage(t *testing.T) {
	needBackends(t)
	file := filepath.Join(t.TempDir(), "spans.jsonl")
	// Without batches in the Collector's memory, and appending: what it has taken is kept.
	collector := backends.StartCollector(t, []string{
		"deploy/collector.yaml",
		"yaml:exporters::file::path: " + file,
		"yaml:exporters::file::append: true",
		"yaml:service::pipelines::traces::exporters: [file]",
		"yaml:service::pipelines::traces::processors: []",
	}, nil)
	l := newLab(t)
	client, server := newWorker(t, l, lab.WorkerOptions{}), newWorker(t, l, lab.WorkerOptions{})
	must[lab.Socket](t)(server.Listen(t.Context(), lab.ListenOptions{Addr: loopback(80), Accept: true}))
	agent := startAgent(t, append(route{endpoint: collector.OTLP(), protocol: "grpc"}.environment("outage"), "OTEL_METRICS_EXPORTER=none"),
		"--netns", l.NetnsPath())

	told := 0
	burst := func(n int) {
		r := must[lab.ConnectResult](t)(client.Connect(t.Context(), lab.ConnectOptions{To: []netip.AddrPort{loopback(80)}, Count: n}))
		must[int](t)(client.CloseSockets(t.Context(), r.Sockets, lab.CloseReset))
		told += 2 * n // each end has a span
	}
	arrived := func(when string) {
		t.Helper()
		defer func() {
			if t.Failed() {
				t.Logf("told %d, arrived %d; of the agent's spans: %s", told, len(spanIDs(t, file)), seriesOf(t, agent, "brink_spans"))
			}
		}()
		backends.Eventually(t, "all spans "+when, func() bool {
			return len(spanIDs(t, file))+spansThatWere(t, agent, "dropped")+spansThatWere(t, agent, "failed") >= told
		})
	}
	burst(100)
	arrived("before the outage")
	same(t, "spans lost before the outage", told-len(spanIDs(t, file)), 0)
	collector.Stop()
	burst(300)
	backends.Eventually(t, "spans that wait", func() bool { return metricOf(t, agent, "brink_spans_queued") > 0 })
	collector.Start()
	burst(100)
	arrived("after the outage")
	lost := spansThatWere(t, agent, "dropped") + spansThatWere(t, agent, "failed")
	same(t, "spans that have arrived", len(spanIDs(t, file)), told-lost)
	t.Logf("%d spans told, %d counted as lost", told, lost)
}

func spansThatWere(t *testing.T, agent *backends.Process, outcome string) int {
	t.Helper()
	return metricOf(t, agent, `brink_spans_total{brink_outcome="`+outcome+`"}`)
}

// metricOf asks the agent itself for the one series of a count.
func metricOf(t *testing.T, agent *backends.Process, series string) int {
	t.Helper()
	lines := seriesOf(t, agent, series+" ")
	if len(lines) != 1 {
		t.Fatalf("the agent tells %s %d times", series, len(lines))
	}
	return int(must[float64](t)(strconv.ParseFloat(strings.Fields(lines[0])[1], 64)))
}
