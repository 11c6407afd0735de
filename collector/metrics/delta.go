package metrics

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Delta turns a producer's counters and histograms into what they have grown by
// since the collection before. It serves one reader.
type Delta struct {
	From metric.Producer

	mu     sync.Mutex
	before map[series]*point
	last   time.Time
}

// series is one series of one instrument.
type series struct {
	name string
	set  attribute.Distinct
}

// Produce implements metric.Producer.
func (d *Delta) Produce(ctx context.Context) ([]metricdata.ScopeMetrics, error) {
	scopes, err := d.From.Produce(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	round := &round{before: d.before, now: map[series]*point{}, last: d.last}
	for _, scope := range scopes {
		for i := range scope.Metrics {
			round.metric(&scope.Metrics[i])
		}
	}
	d.before, d.last = round.now, time.Now()
	return scopes, err
}

// round is one collection.
type round struct {
	before, now map[series]*point
	last        time.Time
}

func (r *round) metric(m *metricdata.Metrics) {
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		if data.IsMonotonic {
			deltas(r, m.Name, data.DataPoints, func(n int64) *point { return &point{n: n} }, func(p *point) int64 { return p.n })
			data.Temporality = metricdata.DeltaTemporality
			m.Data = data
		}
	case metricdata.Sum[float64]:
		if data.IsMonotonic {
			deltas(r, m.Name, data.DataPoints, func(f float64) *point { return &point{f: f} }, func(p *point) float64 { return p.f })
			data.Temporality = metricdata.DeltaTemporality
			m.Data = data
		}
	case metricdata.Histogram[float64]:
		r.histogram(m.Name, data.DataPoints)
		data.Temporality = metricdata.DeltaTemporality
		m.Data = data
	}
}

func deltas[N int64 | float64](r *round, name string, points []metricdata.DataPoint[N], of func(N) *point, value func(*point) N) {
	for i := range points {
		p := &points[i]
		by := r.since(series{name, p.Attributes.Equivalent()}, of(p.Value), &p.StartTime)
		p.Value = value(&by)
		p.Exemplars = slices.DeleteFunc(p.Exemplars, func(e metricdata.Exemplar[N]) bool { return e.Time.Before(p.StartTime) })
	}
}

func (r *round) histogram(name string, points []metricdata.HistogramDataPoint[float64]) {
	for i := range points {
		p := &points[i]
		whole := &point{dist: &distribution{bounds: p.Bounds, counts: p.BucketCounts, sum: p.Sum}}
		by := r.since(series{name, p.Attributes.Equivalent()}, whole, &p.StartTime)
		p.Count, p.BucketCounts, p.Sum = by.dist.count(), by.dist.counts, by.dist.sum
	}
}

// since is by how much the series has grown, and since when.
func (r *round) since(key series, whole *point, start *time.Time) point {
	r.now[key] = whole
	if !r.last.IsZero() {
		*start = r.last
	}
	before := r.before[key]
	if before == nil {
		return *whole
	}
	return whole.grown(before)
}
