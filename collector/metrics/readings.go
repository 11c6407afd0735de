package metrics

import (
	"context"
	"sync"
	"time"

	"brink/collector/limits"
)

// A host with a million sockets, where reading the limits takes seconds, is read
// less often: a share'th of the time is spent on it, and longest is the longest
// pause, since an alert waits for the next reading.
const (
	share   = 20
	longest = time.Minute
)

// pause is how long to wait after a snapshot that took so long.
func (r *Readings) pause(took time.Duration) time.Duration {
	return max(r.Interval, min(share*took, longest))
}

// Readings keeps the newest snapshot of all limits: a scrape never waits for one.
type Readings struct {
	// Interval is the least time from one snapshot to the next.
	Interval time.Duration
	// Read, if set, is called after each snapshot: for what else is due then.
	Read func(limits.Snapshot)

	mu       sync.Mutex
	snapshot limits.Snapshot
	took     time.Duration
	again    chan struct{}
	once     sync.Once
}

// Keep reads again and again until ctx is done, for the first time at once.
func (r *Readings) Keep(ctx context.Context) {
	r.once.Do(r.init)
	reader := limits.Reader{ByState: true}
	for {
		began := time.Now()
		snapshot := reader.Read()
		took := time.Since(began)
		r.mu.Lock()
		r.snapshot, r.took = snapshot, took
		r.mu.Unlock()
		if r.Read != nil {
			r.Read(snapshot)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.again:
		case <-time.After(r.pause(took)):
		}
	}
}

// Again has the next snapshot taken now.
func (r *Readings) Again() {
	r.once.Do(r.init)
	select {
	case r.again <- struct{}{}:
	default: // it is about to be
	}
}

func (r *Readings) init() { r.again = make(chan struct{}, 1) }

// Latest is the newest snapshot, and how long it took; before the first one its
// time is zero.
func (r *Readings) Latest() (s limits.Snapshot, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.snapshot, r.took
}

// Overdue is how long the next snapshot is late: one that hangs in the kernel
// does not come.
func (r *Readings) Overdue(now time.Time) time.Duration {
	s, took := r.Latest()
	if s.Time.IsZero() {
		return 0
	}
	return max(0, now.Sub(s.Time)-took-r.pause(took))
}
