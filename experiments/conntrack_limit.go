package experiments

import (
	"context"
	"math"
	"strconv"
)

const conntrackMax = "net.netfilter.nf_conntrack_max"

// A tableLimit is what nf_conntrack_max is to be on a machine made for it; 0 is
// what it is. The count is each namespace's own, the maximum the whole host's.
type tableLimit func(buckets int) int

func hostsOwn(int) int { return 0 }

func atMost(entries int) tableLimit { return func(int) int { return entries } }

// halfEvictable is the number of entries with which every other new one finds
// something to evict.
func halfEvictable(buckets int) int {
	return int(math.Round(math.Ln2 * float64(buckets) / (2 * evictionRange)))
}

// prepareTable begins to track, and sets the maximum where that is allowed.
func (b *Bench) prepareTable(ctx context.Context, limit tableLimit) error {
	if err := needsTracking(b.Lab.Track(ctx)); err != nil {
		return err
	}
	// entries stay for as long as the evidence is gathered
	for _, of := range []string{"tcp_timeout_close", "udp_timeout", "udp_timeout_stream"} {
		if err := b.set(ctx, "net.netfilter.nf_conntrack_"+of, "600"); err != nil {
			return err
		}
	}
	most, err := b.wantedMax(ctx, limit)
	if err != nil || most == 0 || !b.Size.HostWide {
		return err
	}
	back, err := hostSetting(conntrackMax).set(b, strconv.Itoa(most))
	if err == nil {
		b.Lab.AtEnd(back) // no sooner: a full table is how the poll rung tells this limit from nat_ports
	}
	return err
}

func (b *Bench) wantedMax(ctx context.Context, limit tableLimit) (int, error) {
	buckets, err := b.number(ctx, "net.netfilter.nf_conntrack_buckets")
	return limit(buckets), err
}

// pushable is the prediction again, if the table may be filled: as it is, or
// because it is as small as it was to be.
func (b *Bench) pushable(ctx context.Context, limit tableLimit, unit string) (Prediction, error) {
	wanted, err := b.wantedMax(ctx, limit)
	if err != nil {
		return Prediction{}, err
	}
	most, err := b.number(ctx, conntrackMax)
	if err != nil {
		return Prediction{}, err
	}
	if wanted != 0 && most > wanted {
		return Prediction{}, skipf("nf_conntrack_max is %d and the whole host's: --full fills a private table up to it, "+
			"--host-wide lowers it on a machine made for that", most)
	}
	return b.predictTable(ctx, unit)
}

// noteTable keeps the table's state for Inspect.
func (b *Bench) noteTable(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	counters, err := b.Lab.Counters(ctx)
	if err != nil {
		return err
	}
	most, err := b.number(ctx, conntrackMax)
	if err != nil {
		return err
	}
	count, err := b.number(ctx, "net.netfilter.nf_conntrack_count")
	b.note("drop", int(counters["conntrack.drop"]))
	b.note("early_drop", int(counters["conntrack.early_drop"]))
	b.note("count", count)
	b.note("max", most)
	return err
}
