package jsonl

import (
	"math/rand/v2"
	"testing"
	"time"
)

// The clock writes what the time package does, whatever it wrote before.
func TestClock(t *testing.T) {
	var c clock
	random := rand.New(rand.NewPCG(1, 2))
	at := time.Date(2026, 11, 21, 12, 59, 58, 999_999_998, time.FixedZone("", 3600))
	for _, step := range []time.Duration{
		0, 1, 1, 1, time.Second, time.Minute, -time.Hour, 10, 100, 123_456_789, 24 * time.Hour, 300_000 * time.Hour, -500_000 * time.Hour,
	} {
		at = at.Add(step)
		sameTime(t, &c, at)
	}
	for range 10_000 {
		sameTime(t, &c, at.Add(time.Duration(random.Int64N(int64(10*time.Second)))))
	}
	for _, year := range []int{-1, 0, 1, 999, 9999, 10000} {
		sameTime(t, &c, time.Date(year, 1, 2, 3, 4, 5, 6, time.UTC))
	}
	sameTime(t, new(clock), time.Unix(0, 0))
	sameTime(t, new(clock), time.Time{})
}

func sameTime(t *testing.T, c *clock, at time.Time) {
	t.Helper()
	want := at.UTC().Format(`"2006-01-02T15:04:05.000000000Z"`)
	if got := string(c.append(nil, at)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
