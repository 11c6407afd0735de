package experiments

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/memory"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "time-wait-buckets", Group: Ports, Takes: 2 * time.Second,
		Question: "how many timewait sockets does a network namespace keep?",
		Expect:   "tcp_max_tw_buckets; further connections end without one, counted in TCPTimeWaitOverflow, and no program is told",
		Limit:    limits.TimeWaitBuckets,
		Hooks:    []string{"state", "time_wait_enter"},
		Legs: func(s Size) []Leg {
			if s.Full {
				return []Leg{hostBuckets(IPv4)}
			}
			return []Leg{
				fillBuckets(IPv4, "", 38), fillBuckets(IPv6, "", 38),
				fillBuckets(IPv4, "no bucket", 0), fillBuckets(IPv4, "buckets enough", 1000),
			}
		},
	})
}

// fillBuckets closes as many connections actively as prepareTimeWait has ports.
func fillBuckets(f Family, how string, buckets int) Leg {
	to := f.at(1, firstPort)
	prepare := prepareTimeWait(f, to)
	leg := Leg{
		Name: f.String(),
		Prepare: func(ctx context.Context, b *Bench) error {
			if err := prepare(ctx, b); err != nil {
				return err
			}
			return b.set(ctx, "net.ipv4.tcp_max_tw_buckets", strconv.Itoa(buckets))
		},
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			ports, err := b.predictPorts(ctx, 1, 0)
			if err != nil {
				return ports, err
			}
			return b.predictBuckets(ctx, ports.Value)
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return b.countBuckets(ctx, func() (Measurement, error) { return b.openAndCloseBy(ctx, to, b.closeOneByOne) })
		},
		Inspect: bucketsCounted,
	}
	if how != "" {
		leg.Name += ", " + how
	}
	return leg
}

// predictBuckets: inet_twsk_alloc gives none when the namespace has so many, of
// IPv4 and IPv6 together. It refuses the last segment's handling, not a call.
func (b *Bench) predictBuckets(ctx context.Context, closes int) (Prediction, error) {
	most, err := b.number(ctx, "net.ipv4.tcp_max_tw_buckets")
	return Prediction{
		Value: min(closes, most), Unit: "timewait sockets", Formula: "min(active closes, tcp_max_tw_buckets)",
		Inputs: []Input{{"active_closes", closes}, {"tcp_max_tw_buckets", most}}, Apart: closes > most,
	}, err
}

// countBuckets makes active closes into timewait sockets, by the namespace's own
// gauge, and those that got none.
func (b *Bench) countBuckets(ctx context.Context, push func() (Measurement, error)) (Measurement, error) {
	before, err := b.Lab.Counters(ctx)
	if err != nil {
		return Measurement{}, err
	}
	m, err := push()
	if err != nil {
		return m, err
	}
	if err := b.awaitListenersOnly(ctx); err != nil {
		return m, err
	}
	after, err := b.Lab.Counters(ctx)
	closes := m.TimeWaits
	m.Value = int(after["TCP.tw"])
	m.TimeWaits, m.Refusals = m.Value, m.Refusals+closes-m.Value
	b.note("TCPTimeWaitOverflow", int(after["TcpExt.TCPTimeWaitOverflow"]-before["TcpExt.TCPTimeWaitOverflow"]))
	return m, err
}

// closeOneByOne closes a connection when the one before is gone at both ends. The
// kernel compares the number of timewait sockets in inet_twsk_alloc, and raises it
// only where it starts their timer: each further CPU that is in between may take one
// more than tcp_max_tw_buckets (seen on 6.12 by kprobe: 39 of 38).
func (b *Bench) closeOneByOne(ctx context.Context, s lab.Sockets) (closed int, err error) {
	for left := len(b.Listeners) + 2*s.Count; closed < s.Count; closed++ {
		one := lab.Sockets{First: s.First + lab.Handle(closed), Count: 1}
		if _, err := b.Client.CloseSockets(ctx, one, lab.CloseNormally); err != nil {
			return closed, err
		}
		left -= 2
		if err := b.awaitInUse(ctx, left); err != nil {
			return closed, err
		}
	}
	return closed, nil
}

// awaitListenersOnly waits until both ends of every connection are gone or in
// TIME_WAIT: the last segments may be under way when the server's close() returns.
func (b *Bench) awaitListenersOnly(ctx context.Context) error {
	return b.awaitInUse(ctx, len(b.Listeners))
}

// awaitInUse waits until the labs have no more sockets than most.
func (b *Bench) awaitInUse(ctx context.Context, most int) error {
	return b.await(ctx, func() (bool, error) {
		var inUse uint64
		for _, l := range append([]*lab.Lab{b.Lab}, b.labs...) {
			counters, err := l.Counters(ctx)
			if err != nil {
				return false, err
			}
			inUse += counters["TCP.inuse"] + counters["TCP6.inuse"]
		}
		return int(inUse) <= most, nil
	})
}

// bucketsCounted holds the kernel's own counter, and what became of each tuple,
// against the refusals.
func bucketsCounted(b *Bench, m Measurement, e memory.Evidence) string {
	if n := b.Notes["TCPTimeWaitOverflow"]; n != m.Refusals {
		return fmt.Sprintf("%d closes without a timewait socket, TCPTimeWaitOverflow grew by %d", m.Refusals, n)
	}
	if n := e.TimeWaits[collector.TimeWaitOverflow]; n != m.Refusals {
		return fmt.Sprintf("%d closes without a timewait socket, the kernel told of %d such ends", m.Refusals, n)
	}
	return ""
}
