package metrics

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// backend takes OTLP metrics over both protocols.
type backend struct {
	collectorpb.UnimplementedMetricsServiceServer
	got chan *collectorpb.ExportMetricsServiceRequest
}

func (b *backend) Export(_ context.Context, r *collectorpb.ExportMetricsServiceRequest) (*collectorpb.ExportMetricsServiceResponse, error) {
	b.got <- r
	return &collectorpb.ExportMetricsServiceResponse{}, nil
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	wire, err := io.ReadAll(body)
	request := &collectorpb.ExportMetricsServiceRequest{}
	if err != nil || proto.Unmarshal(wire, request) != nil || r.URL.Path != "/v1/metrics" {
		http.Error(w, "not OTLP", http.StatusBadRequest)
		return
	}
	b.got <- request
}

// What leaves over OTLP is what is scraped, with the resource of whoever sends it;
// at the latest when the agent ends.
func TestOTLP(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		for _, preference := range []string{"cumulative", "delta"} {
			t.Run(protocol+" "+preference, func(t *testing.T) {
				b := &backend{got: make(chan *collectorpb.ExportMetricsServiceRequest, 1)}
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", b.serve(t, protocol))
				t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
				t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
				t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "3600000")
				t.Setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preference)
				e, err := Export(t.Context(), someProducer(), resource.NewSchemaless(attribute.String("service.name", "brink")))
				noError(t, err)
				noError(t, e.Shutdown(t.Context()))
				checkSent(t, <-b.got, preference)
			})
		}
	}
}

func (b *backend) serve(t *testing.T, protocol string) (endpoint string) {
	t.Helper()
	if protocol == "http/protobuf" {
		s := httptest.NewServer(b)
		t.Cleanup(s.Close)
		return s.URL
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	s := grpc.NewServer()
	collectorpb.RegisterMetricsServiceServer(s, b)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return "http://" + l.Addr().String()
}

func checkSent(t *testing.T, r *collectorpb.ExportMetricsServiceRequest, preference string) {
	t.Helper()
	sent := r.ResourceMetrics[0]
	equal(t, "resource", sent.Resource.Attributes[0].Value.GetStringValue(), "brink")
	temporality := metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	if preference == "delta" {
		temporality = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	}
	found := 0
	for _, m := range sent.ScopeMetrics[0].Metrics {
		switch m.Name {
		case "brink.limit.hits":
			found++
			sum := m.GetSum()
			equal(t, "monotonic", sum.IsMonotonic, true)
			equal(t, "temporality", sum.AggregationTemporality, temporality)
			equal(t, "exemplars", len(sum.DataPoints[0].Exemplars) > 0, true)
			equal(t, "has a start", sum.DataPoints[0].StartTimeUnixNano > 0, true)
		case "brink.connection.handshake.duration":
			found++
			equal(t, "temporality", m.GetHistogram().AggregationTemporality, temporality)
			equal(t, "count", m.GetHistogram().DataPoints[0].Count, 10)
		case "brink.limit.usage":
			found++
			equal(t, "a level is never a delta", m.GetSum().AggregationTemporality,
				metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE)
		}
	}
	equal(t, "metrics found", found, 3)
}
