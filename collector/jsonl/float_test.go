package jsonl

import (
	"math"
	"testing"

	"brink/collector"
)

// A number that JSON has no word for is left out; the line stays valid.
func TestFloat(t *testing.T) {
	for value, want := range map[float64]string{
		0.5: `{"kind":"x","f":0.5,"n":1}`, 1: `{"kind":"x","f":1,"n":1}`,
		1e21: `{"kind":"x","f":1e+21,"n":1}`, -12.25: `{"kind":"x","f":-12.25,"n":1}`,
		math.Inf(1): `{"kind":"x","n":1}`, math.NaN(): `{"kind":"x","n":1}`,
	} {
		got := Marshal("x", func(v collector.Visitor) {
			v.Float("f", value)
			v.Int("n", 1)
		})
		equal(t, "line", string(got), want+"\n")
	}
}
