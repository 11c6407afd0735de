package loader

import (
	"math"
	"slices"
	"testing"

	"brink/bpf"
)

// The bound is the one of OpenTelemetry's sampler, which compares 63 bits.
func TestSampleBelow(t *testing.T) {
	for ratio, want := range map[float64]uint64{
		0: 0, -1: 0, 0.5: 1 << 62, 1: 1 << 63, 2: 1 << 63, math.Inf(1): 1 << 63, 0x1p-63: 1,
	} {
		equal(t, "bound", sampleBelow(ratio), want)
	}
	equal(t, "no number", sampleBelow(math.NaN()), 0)
}

func TestBoundsAscend(t *testing.T) {
	for _, bounds := range [][15]uint64{bpf.HandshakeBounds, bpf.LifetimeBounds} {
		if bounds[0] == 0 || !slices.IsSorted(bounds[:]) || len(slices.Compact(bounds[:])) != len(bounds) {
			t.Errorf("%d do not ascend", bounds)
		}
	}
}
