package metrics

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// point is one series' value at one moment.
type point struct {
	set   attribute.Set
	n     int64
	f     float64
	dist  *distribution
	since time.Time // since when it counts; zero: since the agent's start

	exemplars []metricdata.Exemplar[int64]
}

// distribution is a histogram's value.
type distribution struct {
	bounds []float64 // shared, never changed
	counts []uint64  // one more than bounds
	sum    float64   // seconds
}

func (d *distribution) count() (n uint64) {
	for _, c := range d.counts {
		n += c
	}
	return n
}

// plus adds another value of the same instrument.
func (p *point) plus(q *point) {
	p.n += q.n
	p.f += q.f
	p.exemplars = append(p.exemplars, q.exemplars...)
	if q.dist == nil {
		return
	}
	if p.dist == nil {
		p.dist = &distribution{bounds: q.dist.bounds, counts: make([]uint64, len(q.dist.counts))}
	}
	p.dist.sum += q.dist.sum
	for i, c := range q.dist.counts {
		p.dist.counts[i] += c
	}
}

// grown is by how much a sum has grown; one that is smaller than before began
// anew in between.
func (p *point) grown(before *point) (by point) {
	by = point{n: p.n - before.n, f: p.f - before.f, exemplars: p.exemplars}
	if p.dist == nil || before.dist == nil {
		by.dist = p.dist
		if p.n < before.n || p.f < before.f {
			by.n, by.f = p.n, p.f
		}
		return by
	}
	by.dist = &distribution{bounds: p.dist.bounds, counts: make([]uint64, len(p.dist.counts)), sum: p.dist.sum - before.dist.sum}
	for i, c := range p.dist.counts {
		if c < before.dist.counts[i] {
			by.dist = p.dist
			return by
		}
		by.dist.counts[i] = c - before.dist.counts[i]
	}
	return by
}

// copied is the value by itself: what it was made from may be used again.
func (p *point) copied() *point {
	var q point
	q.plus(p)
	q.exemplars = nil
	return &q
}
