package experiments

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"strings"
	"testing"

	"brink/collector/memory"
	"brink/experiments/lab"
)

func TestNothingToEvict(t *testing.T) {
	for _, row := range []struct {
		entries, buckets int
		want             float64
	}{
		{0, 65536, 1}, {262144, 262144, 1.1e-7}, {11357, 262144, 0.5}, {710, 16384, 0.5}, {1, 16384, 0.99902},
	} {
		if got := nothingToEvict(row.entries, row.buckets); math.Abs(got-row.want) > 0.001*row.want+1e-8 {
			t.Errorf("%d entries in %d buckets: %g, not %g", row.entries, row.buckets, got, row.want)
		}
	}
	for buckets, want := range map[int]int{16384: 710, 65536: 2839, 262144: 11357} {
		equal(t, "half evictable", halfEvictable(buckets), want)
	}
	equal(t, "the host's own", hostsOwn(16384), 0)
	equal(t, "at most", atMost(64)(16384), 64)
}

// trackedBench is a bench that tracks connections, with a client.
func trackedBench(t *testing.T) *Bench {
	b, ctx := newBench(t), deadline(t)
	noError(t, prepareFlows(hostsOwn)(ctx, b))
	return b
}

// TestEntriesArePredicted: what is there already is not to be had again.
func TestEntriesArePredicted(t *testing.T) {
	b, ctx := trackedBench(t), deadline(t)
	empty := must(b.predictTable(ctx, "flows"))(t)
	equal(t, "the maximum", must(b.number(ctx, conntrackMax))(t), empty.Value)
	equal(t, "sent", must(sendFlows.Run(ctx, b.Client, flows{First: 250, Count: 300}))(t).Sent, 300)
	equal(t, "fewer by the flows", must(b.predictTable(ctx, "flows"))(t).Value, empty.Value-300)
	equal(t, "sent again", must(sendFlows.Run(ctx, b.Client, flows{First: 300, Count: 250}))(t).Sent, 250)
	equal(t, "the same entries", must(b.predictTable(ctx, "flows"))(t).Value, empty.Value-300)
	noError(t, prepareServers(IPv4, 1, IPv4.at(1, firstPort))(ctx, b))
	r := must(b.Client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{IPv4.at(1, firstPort)}, Count: 4}))(t)
	equal(t, "connected", r.Opened, 4)
	equal(t, "one entry each", must(b.predictTable(ctx, "flows"))(t).Value, empty.Value-304)
}

// TestFlowsAreAssured: the kernel says so of all that came back after the wait,
// and of no others.
func TestFlowsAreAssured(t *testing.T) {
	b, ctx := trackedBench(t), deadline(t)
	m := must(b.assureFlows(ctx, 5))(t)
	equal(t, "flows", m.Value, 5+tooMany) // the table has room for all
	equal(t, "problem", m.Problem, "")
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/nf_conntrack", b.Lab.PID()))
	if err != nil {
		t.Skip(err) // CONFIG_NF_CONNTRACK_PROCFS
	}
	equal(t, "entries", strings.Count(string(table), "\n"), 5+tooMany)
	if n := strings.Count(string(table), "[ASSURED]"); n < 5 { // older kernels wait for nothing
		t.Errorf("assured are %d of\n%s", n, table)
	}
}

// TestHostWideMaximum: without leave the host's maximum stays and the leg is
// skipped, with its prediction.
func TestHostWideMaximum(t *testing.T) {
	before := must(os.ReadFile(hostSetting(conntrackMax).path()))(t)
	r := run(t, noKernel(), oneLeg(fillWithDatagrams(atMost(1))))
	equal(t, "verdict", r.Verdict, Skipped)
	if !strings.Contains(r.Reason, "the whole host's") || r.Predicted == nil || r.Measured != nil {
		t.Errorf("%+v", r)
	}
	equal(t, "nf_conntrack_max", string(must(os.ReadFile(hostSetting(conntrackMax).path()))(t)), string(before))
}

func TestTableCounted(t *testing.T) {
	notes := func(drop, count, most int) *Bench {
		return &Bench{Notes: map[string]int{"drop": drop, "count": count, "max": most}}
	}
	none, e := Measurement{Refusals: 3}, memory.Evidence{}
	equal(t, "full", tableCounted(notes(3, 64, 64), none, e), "")
	equal(t, "other drops", tableCounted(notes(4, 64, 64), none, e), "measured 3 refusals, /proc/net/stat/nf_conntrack has drop 4")
	equal(t, "room", tableCounted(notes(3, 63, 64), none, e), "packets were dropped with 63 entries of 64")
	equal(t, "nothing dropped", tableCounted(notes(0, 63, 64), Measurement{}, e), "")
}
