package loader

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"

	"brink/bpf"

	"golang.org/x/sys/unix"
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

// TestPatiently: what lacks memory is asked again, what fails otherwise is not.
func TestPatiently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct {
			fails int
			with  error
			want  error
			asked int
		}{
			{0, nil, nil, 1},
			{3, fmt.Errorf("update: %w", unix.ENOMEM), nil, 4},
			{1, unix.E2BIG, unix.E2BIG, 1},
			{1 << 20, unix.ENOMEM, unix.ENOMEM, triesForMemory},
		} {
			asked := 0
			err := patiently(func() error {
				if asked++; asked <= row.fails {
					return row.with
				}
				return nil
			})
			equal(t, "error", errors.Is(err, row.want), true)
			equal(t, "asked", asked, row.asked)
		}
	})
}
