package metrics

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// batch is one collection in the making: points by instrument, those with the
// same attributes put together.
type batch struct {
	families map[*instrument]*family
}

type family struct {
	points []*point // in the order in which they came: of gauges, the worst first
	at     map[attribute.Distinct]*point
}

func newBatch() *batch { return &batch{families: map[*instrument]*family{}} }

// add takes a point and puts it to those of its attributes: sums add up, of
// gauges the worst stands for all.
func (b *batch) add(i *instrument, p point, attributes ...attribute.KeyValue) {
	f := b.families[i]
	if f == nil {
		f = &family{at: map[attribute.Distinct]*point{}}
		b.families[i] = f
	}
	p.set = attribute.NewSet(attributes...)
	same := f.at[p.set.Equivalent()]
	switch {
	case same == nil:
		same = new(p)
		f.at[p.set.Equivalent()] = same
		f.points = append(f.points, same)
	case i.kind != gauge:
		same.plus(&p)
	case i.lowest() == (p.f < same.f):
		same.f = p.f
	}
}

func (b *batch) int(i *instrument, n uint64, attributes ...attribute.KeyValue) {
	b.add(i, point{n: int64(n)}, attributes...)
}

func (b *batch) float(i *instrument, f float64, attributes ...attribute.KeyValue) {
	b.add(i, point{f: f}, attributes...)
}

// metrics are what OpenTelemetry's readers take. Sums count from start on.
func (b *batch) metrics(start, now time.Time, caps map[*instrument]*ceiling, most int) (list []metricdata.Metrics) {
	for _, i := range instruments {
		f := b.families[i]
		if f == nil {
			continue
		}
		if caps[i] == nil {
			caps[i] = &ceiling{}
		}
		list = append(list, metricdata.Metrics{
			Name: i.name, Unit: i.unit, Description: i.description,
			Data: i.data(caps[i].under(i, f.points, most), start, now),
		})
	}
	return list
}

func (i *instrument) data(points []*point, start, now time.Time) metricdata.Aggregation {
	switch {
	case i.kind == histogram:
		return metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality, DataPoints: distributions(points, start, now)}
	case i.kind == gauge:
		return metricdata.Gauge[float64]{DataPoints: numbers(points, time.Time{}, now, func(p *point) float64 { return p.f })}
	case i.float:
		return metricdata.Sum[float64]{
			Temporality: metricdata.CumulativeTemporality, IsMonotonic: i.kind == counter,
			DataPoints: numbers(points, start, now, func(p *point) float64 { return p.f }),
		}
	}
	list := numbers(points, start, now, func(p *point) int64 { return p.n })
	for at := range list {
		list[at].Exemplars = points[at].exemplars
	}
	return metricdata.Sum[int64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: i.kind == counter, DataPoints: list}
}

func numbers[N int64 | float64](points []*point, start, now time.Time, value func(*point) N) []metricdata.DataPoint[N] {
	list := make([]metricdata.DataPoint[N], len(points))
	for at, p := range points {
		list[at] = metricdata.DataPoint[N]{Attributes: p.set, StartTime: p.start(start), Time: now, Value: value(p)}
	}
	return list
}

func distributions(points []*point, start, now time.Time) []metricdata.HistogramDataPoint[float64] {
	list := make([]metricdata.HistogramDataPoint[float64], len(points))
	for at, p := range points {
		list[at] = metricdata.HistogramDataPoint[float64]{
			Attributes: p.set, StartTime: p.start(start), Time: now,
			Count: p.dist.count(), Bounds: p.dist.bounds, BucketCounts: p.dist.counts, Sum: p.dist.sum,
		}
	}
	return list
}

func (p *point) start(otherwise time.Time) time.Time {
	if p.since.IsZero() {
		return otherwise
	}
	return p.since
}
