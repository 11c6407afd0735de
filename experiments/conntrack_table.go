package experiments

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"syscall"
	"time"

	"brink/collector/limits"
	"brink/collector/memory"
)

func init() {
	register(Experiment{
		Name: "conntrack-table", Group: Resources, Takes: 6 * time.Second,
		Question: "how many connections does a namespace track?",
		Expect: "nf_conntrack_max; then packets of new ones are dropped: silence for connect(), EPERM for a local " +
			"sendto(). Entries that never were assured give way instead, where they are found",
		Limit: limits.ConntrackTable,
		Hooks: []string{"state", "conntrack_table"},
		Legs: func(s Size) []Leg {
			switch {
			case s.Full:
				return []Leg{fillWithDatagrams(hostsOwn), evictUnassured(hostsOwn)}
			case !s.HostWide:
				return []Leg{fillWithDatagrams(atMost(filledSoon))}
			}
			return []Leg{
				fillWithConnections(IPv4, 64, tooMany), fillWithConnections(IPv6, 64, tooMany),
				fillWithDatagrams(atMost(64)), evictUnassured(halfEvictable),
				fillWithConnections(IPv4, 64+tooMany, 0),
			}
		},
	})
}

// filledSoon is a maximum that needs no --full. Few hosts have one so small.
const filledSoon = 1 << 14

// fillWithConnections: each is one entry, assured once established. The control
// has as many connections, and a table for all of them.
func fillWithConnections(f Family, most, more int) Leg {
	at := f.at(1, firstPort)
	name := f.String()
	if more == 0 {
		name = "a table with room"
	}
	return Leg{
		Name: name,
		Prepare: func(ctx context.Context, b *Bench) error {
			if err := b.prepareTable(ctx, atMost(most)); err != nil {
				return err
			}
			return prepareServers(f, 1, at)(ctx, b)
		},
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			p, err := b.predictTable(ctx, "connections")
			p.Apart = more > 0
			return p, err
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			p, err := b.pushable(ctx, atMost(most), "connections")
			if err != nil {
				return Measurement{}, err
			}
			return b.fillTable(ctx, at, p.Value, more)
		},
		Inspect: tableCounted,
	}
}

// fillWithDatagrams: a UDP flow is assured once there were packets both ways; in
// later kernels, once they still come after two seconds (udp_packet).
func fillWithDatagrams(limit tableLimit) Leg {
	return Leg{
		Name:    "UDP",
		Prepare: prepareFlows(limit),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			p, err := b.predictTable(ctx, "flows")
			p.Apart, p.Errno = true, syscall.EPERM
			return p, err
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			p, err := b.pushable(ctx, limit, "flows")
			if err != nil {
				return Measurement{}, err
			}
			return b.assureFlows(ctx, p.Value)
		},
		Inspect: tableCounted,
	}
}

// evictUnassured: a full table makes room for a new entry, if it finds one that
// is not assured in the buckets that it looks at. Otherwise it drops the packet.
func evictUnassured(limit tableLimit) Leg {
	return Leg{
		Name:    "UDP, not assured",
		Prepare: prepareFlows(limit),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) { return b.predictEviction(ctx) },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			if _, err := b.pushable(ctx, limit, "flows"); err != nil {
				return Measurement{}, err
			}
			return b.evictFlows(ctx)
		},
		Inspect: tableCounted,
	}
}

// predictTable: __nf_conntrack_alloc counts the new entry first and then compares
// with >, so the maximum itself is reached.
func (b *Bench) predictTable(ctx context.Context, unit string) (Prediction, error) {
	most, err := b.number(ctx, conntrackMax)
	if err != nil {
		return Prediction{}, err
	}
	count, err := b.number(ctx, "net.netfilter.nf_conntrack_count")
	return Prediction{
		Value: most - count, Unit: unit, Formula: "nf_conntrack_max - nf_conntrack_count",
		Inputs: []Input{{"nf_conntrack_max", most}, {"nf_conntrack_count", count}},
	}, err
}

// evictionRange is NF_CT_EVICTION_RANGE: early_drop looks at so many buckets, from
// the new entry's own on.
const evictionRange = 8

// evictionAttempts beyond the maximum make the share of those that find room
// certain to some per cent.
const evictionAttempts = 2000

// predictEviction: every entry is in two buckets, by its tuple and by its reply's,
// anywhere in the one hash table of the host.
func (b *Bench) predictEviction(ctx context.Context) (Prediction, error) {
	most, err := b.number(ctx, conntrackMax)
	if err != nil {
		return Prediction{}, err
	}
	buckets, err := b.number(ctx, "net.netfilter.nf_conntrack_buckets")
	if err != nil {
		return Prediction{}, err
	}
	none := nothingToEvict(most, buckets)
	p := Prediction{
		Value: int(math.Round(evictionAttempts * (1 - none))), Unit: "flows beyond the maximum", Within: 0.15,
		Formula: "attempts × (1 - (1 - 8/nf_conntrack_buckets)^(2 × nf_conntrack_max))",
		Inputs: []Input{
			{"attempts", evictionAttempts}, {"nf_conntrack_buckets", buckets}, {"nf_conntrack_max", most},
		},
	}
	if evictionAttempts*none > 0.5 {
		p.Apart, p.Errno = true, syscall.EPERM
	}
	return p, nil
}

// nothingToEvict is how likely it is that none of the entries is in those buckets.
func nothingToEvict(entries, buckets int) float64 {
	return math.Pow(1-float64(evictionRange)/float64(buckets), float64(2*entries))
}

// fillTable fills the table one by one, then sends more SYNs, which do not even
// leave: the client's own output is refused, and connect() hides that.
func (b *Bench) fillTable(ctx context.Context, at netip.AddrPort, room, more int) (Measurement, error) {
	m, err := b.fillQueue(ctx, at, room)
	if err != nil {
		return m, err
	}
	beyond, err := b.connectBeyond(ctx, b.Lab, []netip.AddrPort{at}, more)
	if err != nil {
		return m, err
	}
	m = m.plus(beyond)
	accepted, err := b.awaitAccepted(ctx, m.Value)
	m.Endpoints = m.Value + accepted
	return m, b.noteTable(ctx, err)
}

// tableCounted holds the namespace's own counter against the refusals.
func tableCounted(b *Bench, m Measurement, _ memory.Evidence) string {
	if n := b.Notes["drop"]; n != m.Refusals {
		return fmt.Sprintf("measured %d refusals, /proc/net/stat/nf_conntrack has drop %d", m.Refusals, n)
	}
	if m.Refusals > 0 && b.Notes["count"] != b.Notes["max"] {
		return fmt.Sprintf("packets were dropped with %d entries of %d", b.Notes["count"], b.Notes["max"])
	}
	return ""
}
