package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brink/cmd/brink/backends"
	"brink/experiments/lab"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// TestAgentInCollector: the metrics that the agent pushes, by either protocol, have
// arrived at a Collector with what the test has done in them.
func TestAgentInCollector(t *testing.T) {
	needBackends(t)
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(strings.ReplaceAll(protocol, "/", "-"), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "metrics.jsonl")
			collector := backends.StartCollector(t, []string{
				"deploy/collector.yaml",
				"yaml:exporters::file::path: " + file,
				"yaml:service::pipelines::metrics::exporters: [file]",
			}, nil)
			endpoint := collector.OTLP()
			if protocol != "grpc" {
				endpoint = strings.Replace(endpoint, ":4317", ":4318", 1)
			}
			l := newLab(t)
			client, server := newWorker(t, l, lab.WorkerOptions{}), newWorker(t, l, lab.WorkerOptions{})
			must[lab.Socket](t)(server.Listen(t.Context(), lab.ListenOptions{Addr: loopback(80), Accept: true}))
			startAgent(t, append(route{endpoint: endpoint, protocol: protocol}.environment("metrics"),
				"OTEL_TRACES_EXPORTER=none", "OTEL_METRIC_EXPORT_INTERVAL=500"), "--netns", l.NetnsPath())
			must[lab.ConnectResult](t)(client.Connect(t.Context(), lab.ConnectOptions{To: []netip.AddrPort{loopback(80)}, Count: 10}))
			backends.Eventually(t, "ten clients and ten servers", func() bool {
				opened := newest(t, file, "brink.connection.opened", l.Netns())
				return opened["client"] == 10 && opened["server"] == 10
			})
		})
	}
}

// newest are a metric's newest values in a namespace, by role, out of what the
// Collector has written of the marked resource.
func newest(t *testing.T, file, name string, netns uint32) map[string]int64 {
	t.Helper()
	byRole := map[string]int64{}
	text, err := os.Open(file)
	if err != nil {
		return byRole // not yet there
	}
	defer text.Close()
	values := json.NewDecoder(text)
	for {
		var value json.RawMessage
		if values.Decode(&value) != nil {
			return byRole
		}
		metrics := must[pmetric.Metrics](t)(new(pmetric.JSONUnmarshaler).UnmarshalMetrics(value))
		for _, resource := range metrics.ResourceMetrics().All() {
			same(t, "the resource's mark", attributeOf(resource.Resource().Attributes(), "brink.test"), "metrics")
			for _, scope := range resource.ScopeMetrics().All() {
				for _, m := range scope.Metrics().All() {
					if m.Name() == name {
						addPoints(byRole, m, netns)
					}
				}
			}
		}
	}
}

func addPoints(byRole map[string]int64, m pmetric.Metric, netns uint32) {
	for _, point := range m.Sum().DataPoints().All() {
		if in, ok := point.Attributes().Get("brink.netns"); ok && in.Int() == int64(netns) {
			byRole[attributeOf(point.Attributes(), "brink.role")] = point.IntValue()
		}
	}
}

func attributeOf(attributes pcommon.Map, key string) string {
	value, ok := attributes.Get(key)
	if !ok {
		return ""
	}
	return value.AsString()
}
