package main

import (
	"sync/atomic"
	"time"

	"brink/loader"
)

// pulse notices that the collector reads: it asks for the next record at least
// ten times a second, whether there is one or not.
type pulse struct{ last atomic.Int64 }

// asleep is how long the collector may take between two records before the agent
// counts as stuck.
const asleep = 10 * time.Second

func (p *pulse) beat(now time.Time) { p.last.Store(now.UnixNano()) }

// stuck is for how long nothing has been asked for; 0 while all is well, and
// before the first time.
func (p *pulse) stuck(now time.Time) time.Duration {
	last := p.last.Load()
	if last == 0 {
		return 0
	}
	if since := now.Sub(time.Unix(0, last)); since > asleep {
		return since
	}
	return 0
}

// beating is a tracer that the collector reads through the pulse.
type beating struct {
	*loader.Tracer
	pulse *pulse
}

// Next implements collector.Source.
func (b *beating) Next() ([]byte, error) {
	b.pulse.beat(time.Now())
	return b.Tracer.Next()
}
