package metrics

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
)

func counted(series map[string]int64) (list []*point) {
	for name, n := range series {
		list = append(list, &point{set: attribute.NewSet(attribute.String("name", name)), n: n})
	}
	return list
}

func total(points []*point) (sum int64) {
	for _, p := range points {
		sum += p.n
	}
	return sum
}

func valueOf(points []*point, set attribute.Set) int64 {
	for _, p := range points {
		if p.set.Equivalent() == set.Equivalent() {
			return p.n
		}
	}
	return -1
}

// However many series there are: no more than the cap come through, together
// they count everything, and none ever shrinks.
func TestCeilingOfACounter(t *testing.T) {
	const most = 3
	var c ceiling
	first := c.under(&limitHits, counted(map[string]int64{"a": 1, "b": 2}), most)
	equal(t, "without overflow", len(first), 2)

	second := c.under(&limitHits, counted(map[string]int64{"a": 5, "b": 2, "c": 10, "d": 20}), most)
	equal(t, "series", len(second), most)
	equal(t, "sum", total(second), 37)
	equal(t, "a keeps its place", valueOf(second, attribute.NewSet(attribute.String("name", "a"))), 5)
	equal(t, "overflow", valueOf(second, overflow), 30)

	third := c.under(&limitHits, counted(map[string]int64{"a": 5, "b": 2, "c": 11, "d": 25}), most)
	equal(t, "overflow grows by what its series have grown", valueOf(third, overflow), 36)

	// c goes: what it has counted stays counted. b goes: its place is free, but d
	// stays where it was, or it would be counted twice.
	fourth := c.under(&limitHits, counted(map[string]int64{"a": 5, "d": 26, "e": 7}), most)
	equal(t, "overflow", valueOf(fourth, overflow), 37)
	equal(t, "the new one has the place", valueOf(fourth, attribute.NewSet(attribute.String("name", "e"))), 7)

	// c comes back and begins at 1.
	fifth := c.under(&limitHits, counted(map[string]int64{"a": 5, "c": 1, "d": 26, "e": 7}), most)
	equal(t, "overflow", valueOf(fifth, overflow), 38)

	// What began anew while it overflowed counts from zero.
	sixth := c.under(&limitHits, counted(map[string]int64{"a": 5, "c": 1, "d": 2, "e": 7}), most)
	equal(t, "overflow", valueOf(sixth, overflow), 40)
}

func TestCeilingOfAHistogram(t *testing.T) {
	var c ceiling
	one := func(name string, counts ...uint64) *point {
		return &point{set: attribute.NewSet(attribute.String("name", name)), dist: &distribution{bounds: []float64{1}, counts: counts, sum: 2}}
	}
	c.under(&lifetime, []*point{one("a", 1, 0), one("b", 1, 1), one("c", 0, 2)}, 2)
	got := c.under(&lifetime, []*point{one("a", 1, 0), one("b", 2, 1), one("c", 0, 5)}, 2)
	equal(t, "series", len(got), 2)
	equal(t, "overflow, bucket 0", got[1].dist.counts[0], 2)
	equal(t, "overflow, bucket 1", got[1].dist.counts[1], 6)
}

// Of what is told anew each time the worst come through, which are the first.
func TestCeilingOfGauges(t *testing.T) {
	part := func(name string, f float64) *point {
		return &point{set: attribute.NewSet(attribute.String("name", name)), f: f, n: int64(f)}
	}
	var c ceiling
	points := []*point{part("a", 9), part("b", 8), part("c", 7), part("d", 3)}
	got := c.under(&limitPart, points, 3)
	equal(t, "series", len(got), 3)
	equal(t, "the worst of the rest", got[2].f, 7)
	got = c.under(&limitUsage, points, 3)
	equal(t, "the sum of the rest", got[2].n, 10)
	got = c.under(&limitTime, []*point{part("a", 9), part("b", 8), part("c", 2)}, 2)
	equal(t, "the soonest of the rest", got[1].f, 2)
	equal(t, "below the cap nothing happens", len(c.under(&limitPart, points, 4)), 4)
}
