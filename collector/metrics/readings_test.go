package metrics

import (
	"context"
	"testing"
	"time"

	"brink/collector/limits"
)

// The first snapshot comes at once, the next one when it is asked for, and none
// is waited for.
func TestReadings(t *testing.T) {
	read := make(chan limits.Snapshot)
	r := Readings{Interval: time.Hour, Read: func(s limits.Snapshot) { read <- s }}
	s, _ := r.Latest()
	equal(t, "before the first", s.Time.IsZero(), true)
	equal(t, "overdue before the first", r.Overdue(time.Now()), 0)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Keep(ctx)
	}()
	first := <-read
	r.Again()
	second := <-read
	equal(t, "a newer one", second.Time.After(first.Time), true)
	latest, took := r.Latest()
	equal(t, "latest", latest.Time, second.Time)
	equal(t, "due", r.Overdue(time.Now()), 0)
	equal(t, "overdue", r.Overdue(second.Time.Add(took+r.pause(took)+time.Second)), time.Second)
	cancel()
	<-ended
}

func TestPause(t *testing.T) {
	r := Readings{Interval: 15 * time.Second}
	for took, want := range map[time.Duration]time.Duration{
		time.Millisecond: 15 * time.Second, time.Second: 20 * time.Second, 5 * time.Second: time.Minute,
	} {
		equal(t, "pause", r.pause(took), want)
	}
}
