package main

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strconv"
	"time"
)

// soak is what the agent is after ever more connections: what it holds must not
// grow with what it has seen.
type soak struct {
	Connections int           `json:"connections"`
	Seconds     float64       `json:"seconds"`
	Lost        uint64        `json:"lost"`
	Moments     []soakedAgent `json:"moments"`
}

// soakedAgent is the agent at one moment.
type soakedAgent struct {
	Seconds float64 `json:"seconds"`
	RSS     int     `json:"rss_bytes"`
	Series  int     `json:"series"` // of all metrics; each metric has a bound (--max-series)
	Queued  int     `json:"spans_queued"`
}

// soakPause is the time between two looks, soakSettled how long what grows at
// first, a queue or a heap, has for it.
const (
	soakPause   = 5 * time.Second
	soakSettled = 30 * time.Second
)

// runSoak makes as many connections as a busy host has in an hour.
func (b *benchmark) runSoak(ctx context.Context) error {
	t := b.tracerNamed(agent)
	if t == nil || b.size.soak == 0 {
		return nil
	}
	s := &soak{}
	begun := time.Now()
	a := amount{count: b.size.soak, beside: func(ctx context.Context, at *running) {
		for ctx.Err() == nil {
			m, err := at.soaked(ctx, begun)
			if err == nil {
				s.Moments = append(s.Moments, m)
				b.say("%4.0f s of soaking: RSS %d KiB, %d series, %d spans queued", m.Seconds, m.RSS>>10, m.Series, m.Queued)
			}
			select {
			case <-ctx.Done():
			case <-time.After(soakPause):
			}
		}
	}}
	r, err := b.measure(ctx, load{"reset, all CPUs", reset, runtime.NumCPU()}, *t, a)
	if err != nil {
		return fmt.Errorf("soak: %w", err)
	}
	s.Connections, s.Seconds, s.Lost = r.Connections, r.seconds, r.Lost
	b.say("soak: %d connections in %.0f s%s", s.Connections, s.Seconds, r.seen())
	b.soak = s
	return nil
}

// soaked scrapes the agent, as Prometheus does.
func (r *running) soaked(ctx context.Context, begun time.Time) (m soakedAgent, err error) {
	text, err := r.get(ctx, "/metrics")
	if err != nil {
		return m, err
	}
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte("#")) {
			m.Series++
		}
		if n, queued := bytes.CutPrefix(line, []byte("brink_spans_queued ")); queued {
			m.Queued, _ = strconv.Atoi(string(bytes.TrimSpace(n)))
		}
	}
	m.RSS, _ = memory(r.cmd.Process.Pid)
	m.Seconds = time.Since(begun).Seconds()
	return m, nil
}

// goals hold the last moments against those after it had settled.
func (s *soak) goals() []goal {
	var settled, last soakedAgent
	for _, m := range s.Moments {
		if m.Seconds <= soakSettled.Seconds() {
			settled = m
		}
		last = m
	}
	if settled.RSS == 0 {
		return nil
	}
	after := fmt.Sprintf("after %d connections, %.0f s: ", s.Connections, s.Seconds)
	return []goal{
		newGoal(after+"RSS, of that after 30 s", float64(last.RSS)/float64(settled.RSS), 1.1, ""),
		newGoal(after+"series, of those after 30 s", float64(last.Series)/float64(settled.Series), 1.5, ""),
		newGoal(after+"lost", float64(s.Lost), 0, "records"),
	}
}
