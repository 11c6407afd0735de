package metrics

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"brink/bpf"
	"brink/collector"

	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// DefaultSeries is the SDKs' default cardinality limit.
const DefaultSeries = 2000

// Options say where the figures come from. What is nil is not told.
type Options struct {
	Version   string
	Start     time.Time // since when the kernel counts
	MaxSeries int       // of one instrument; 0 is DefaultSeries

	Namespaces *Namespaces
	Readings   *Readings
	Hits       *Hits

	// The kernel's tallies: sums since Start.
	Lives     func() (map[bpf.BrinkLivesKey]bpf.BrinkLives, error)
	TimeWaits func() (map[bpf.BrinkTimeWaitsKey]uint64, error)

	Summary  func() (collector.Summary, error)
	Programs func() []Program
	Modes    func() []Mode
	Spans    func() Spans
	// MapBytes is the kernel memory of all BPF maps.
	MapBytes func() uint64

	Logger *slog.Logger // nil: slog.Default()
}

// Producer implements OpenTelemetry's metric.Producer. Its sums are cumulative;
// several readers may share it.
type Producer struct {
	o Options

	mu   sync.Mutex // one collection after the other
	caps map[*instrument]*ceiling
}

// New makes a producer.
func New(o Options) *Producer {
	if o.MaxSeries <= 0 {
		o.MaxSeries = DefaultSeries
	}
	if o.Namespaces == nil {
		o.Namespaces = &Namespaces{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Producer{o: o, caps: map[*instrument]*ceiling{}}
}

// Produce implements metric.Producer. What cannot be read is left out and
// logged: the other figures are worth having.
func (p *Producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	b := newBatch()
	if err := errors.Join(p.lives(b), p.timeWaits(b), p.own(b)); err != nil {
		p.o.Logger.Warn("some metrics are missing", "error", err)
	}
	p.headroom(b, now)
	if p.o.Hits != nil {
		p.o.Hits.collect(b, p.o.Namespaces)
	}
	return []metricdata.ScopeMetrics{{
		Scope:   instrumentation.Scope{Name: "brink", Version: p.o.Version},
		Metrics: b.metrics(p.o.Start, now, p.caps, p.o.MaxSeries),
	}}, nil
}
