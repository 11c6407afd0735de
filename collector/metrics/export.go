package metrics

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// Exports are the ways on which the producer's metrics leave.
type Exports struct {
	// Handler answers a Prometheus scrape, in OpenMetrics' format where that is
	// asked for.
	Handler http.Handler
	// OTLP says where metrics are sent, empty: nowhere.
	OTLP string

	provider *metric.MeterProvider
}

// Export opens what the environment names:
//
//	OTEL_METRICS_EXPORTER        otlp, prometheus (only scraped), none (likewise)
//	OTEL_EXPORTER_OTLP_ENDPOINT, _METRICS_ENDPOINT, _PROTOCOL (grpc or
//	http/protobuf, the default), _HEADERS, _CERTIFICATE, _COMPRESSION, _TIMEOUT …
//	OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE
//	OTEL_METRIC_EXPORT_INTERVAL, _TIMEOUT, OTEL_SDK_DISABLED
func Export(ctx context.Context, p *Producer, who *resource.Resource) (*Exports, error) {
	registry := prometheus.NewRegistry()
	scraped, err := otelprometheus.New(otelprometheus.WithRegisterer(registry),
		otelprometheus.WithProducer(p), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	options := []metric.Option{metric.WithResource(who), metric.WithReader(scraped)}
	e := &Exports{Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: mostScrapes})}
	s, err := readSettings(os.Getenv)
	if err != nil {
		return nil, err
	}
	if s.otlp {
		exporter, err := s.exporter(ctx)
		if err != nil {
			return nil, err
		}
		options = append(options, metric.WithReader(metric.NewPeriodicReader(exporter, metric.WithProducer(s.temporality(p)))))
		e.OTLP = s.where()
	}
	e.provider = metric.NewMeterProvider(options...)
	return e, nil
}

// mostScrapes bounds what many clients at once can cost.
const mostScrapes = 4

// Shutdown sends what is there once more, and ends.
func (e *Exports) Shutdown(ctx context.Context) error { return e.provider.Shutdown(ctx) }

// settings is what the OTEL_* variables say, as far as brink reads them itself.
type settings struct {
	otlp     bool
	protocol string
	endpoint string
	delta    bool
}

func readSettings(env func(string) string) (s settings, err error) {
	either := func(names ...string) (string, string) {
		for _, name := range names {
			if value := strings.TrimSpace(env(name)); value != "" {
				return name, value
			}
		}
		return "", ""
	}
	_, s.endpoint = either("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	s.otlp = s.endpoint != ""
	switch name := strings.ToLower(strings.TrimSpace(env("OTEL_METRICS_EXPORTER"))); name {
	case "":
	case "otlp":
		s.otlp = true
	case "none", "prometheus":
		s.otlp = false
	default:
		return s, fmt.Errorf("OTEL_METRICS_EXPORTER is %q: use otlp, prometheus or none", name)
	}
	if strings.EqualFold(strings.TrimSpace(env("OTEL_SDK_DISABLED")), "true") {
		s.otlp = false
	}
	name, protocol := either("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	switch s.protocol = protocol; protocol {
	case "":
		s.protocol = "http/protobuf"
	case "grpc", "http/protobuf":
	default:
		return s, fmt.Errorf("%s is %q: use grpc or http/protobuf", name, protocol)
	}
	switch preference := strings.ToLower(env("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE")); preference {
	case "", "cumulative":
	case "delta", "lowmemory":
		s.delta = true
	default:
		return s, fmt.Errorf("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE is %q: use cumulative, delta or lowmemory", preference)
	}
	return s, nil
}

func (s *settings) exporter(ctx context.Context) (metric.Exporter, error) {
	if s.protocol == "grpc" {
		return otlpmetricgrpc.New(ctx)
	}
	return otlpmetrichttp.New(ctx)
}

func (s *settings) where() string {
	u, err := url.Parse(s.endpoint)
	if err != nil || s.endpoint == "" {
		return s.protocol + " localhost"
	}
	return s.protocol + " " + u.Redacted()
}

// temporality is the producer as the backend wants its sums.
func (s *settings) temporality(p *Producer) metric.Producer {
	if s.delta {
		return &Delta{From: p}
	}
	return p
}
