package metrics

import (
	"maps"

	"go.opentelemetry.io/otel/attribute"
)

// overflow marks the series that stands for all beyond the cap, as the SDKs'
// cardinality limit has it.
var overflow = attribute.NewSet(attribute.Bool("otel.metric.overflow", true))

// ceiling bounds the series of one instrument. A series keeps its place until it
// is gone; of what came when all places were taken, a counter adds up how much it
// has grown, so that the overflow's series never shrinks.
type ceiling struct {
	places map[attribute.Distinct]bool
	beyond map[attribute.Distinct]*point // as it was the last time
	rest   point
	used   bool
}

// under lets most points through; the last of these is the overflow's, once
// there is one.
func (c *ceiling) under(i *instrument, points []*point, most int) []*point {
	if i.kind == gauge || i.kind == upDown {
		return c.now(i, points, most)
	}
	c.forget(points)
	through := make([]*point, 0, min(len(points), most))
	for _, p := range points {
		key := p.set.Equivalent()
		before := c.beyond[key]
		if c.places[key] || before == nil && len(c.places) < most-1 {
			c.places[key] = true
			through = append(through, p)
			continue
		}
		if before == nil {
			before = &point{}
		}
		by := p.grown(before)
		c.rest.plus(&by)
		c.beyond[key] = p.copied()
	}
	if len(c.beyond) > 0 {
		c.used = true
	}
	if c.used {
		through = append(through, c.overflowing())
	}
	return through
}

// overflowing is the overflow's series as it is now. Its exemplars are the
// newest few.
func (c *ceiling) overflowing() *point {
	c.rest.exemplars = c.rest.exemplars[max(0, len(c.rest.exemplars)-mostExemplars):]
	p := c.rest.copied()
	p.set, p.exemplars = overflow, c.rest.exemplars
	return p
}

// forget gives up the places of series that are gone.
func (c *ceiling) forget(points []*point) {
	if c.places == nil {
		c.places, c.beyond = map[attribute.Distinct]bool{}, map[attribute.Distinct]*point{}
	}
	there := make(map[attribute.Distinct]bool, len(points))
	for _, p := range points {
		there[p.set.Equivalent()] = true
	}
	maps.DeleteFunc(c.places, func(key attribute.Distinct, _ bool) bool { return !there[key] })
	maps.DeleteFunc(c.beyond, func(key attribute.Distinct, _ *point) bool { return !there[key] })
}

// now is for what is told anew each time: the first, which are the worst, come
// through. The overflow of a gauge is the worst of the others.
func (c *ceiling) now(i *instrument, points []*point, most int) []*point {
	if len(points) <= most {
		return points
	}
	through := append([]*point(nil), points[:most-1]...)
	rest := points[most-1].copied()
	for _, p := range points[most:] {
		if i.kind == upDown {
			rest.plus(p)
		} else if i.lowest() == (p.f < rest.f) {
			rest.f = p.f
		}
	}
	rest.set = overflow
	return append(through, rest)
}
