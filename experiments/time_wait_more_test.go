package experiments

import (
	"testing"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/memory"

	"golang.org/x/sys/unix"
)

func TestReusable(t *testing.T) {
	for _, row := range []struct {
		reuse                           int
		timestamps, loopback, delayOver bool
		want                            bool
	}{
		{0, true, true, true, false}, {0, true, false, true, false},
		{1, true, true, true, true}, {1, true, false, true, true},
		{2, true, true, true, true}, {2, true, false, true, false},
		{1, false, true, true, false}, {2, false, true, true, false},
		{1, true, true, false, false}, {2, true, true, false, false},
	} {
		equal(t, "reuse", reusable(row.reuse, row.timestamps, row.loopback, row.delayOver), row.want)
	}
}

// TestReuseMovesBoth: the same leg under other settings.
func TestReuseMovesBoth(t *testing.T) {
	one := reuseCase{name: "1", family: IPv4, reuse: "1", delay: "20"}
	for _, row := range []struct {
		name     string
		settings []string
		want     int
	}{
		{"1", nil, 100},
		{"0", []string{"net.ipv4.tcp_tw_reuse", "0"}, 50},
		{"2, on loopback", []string{"net.ipv4.tcp_tw_reuse", "2"}, 100},
		{"without timestamps", []string{"net.ipv4.tcp_timestamps", "0"}, 50},
		{"8 ports", []string{"net.ipv4.ip_local_port_range", "50000 50007"}, 16},
	} {
		movesBoth(t, row.name, with(one.leg(), row.settings...), row.want)
	}
}

// TestReuseNotHeld: predicted is what the settings were; and what the hooks tell of
// reuses, if anything, must be all of them.
func TestReuseNotHeld(t *testing.T) {
	few := prepared(setting("net.ipv4.ip_local_port_range", "50000 50003"))
	one, none := reuseCase{name: "1", family: IPv4, reuse: "1", delay: "20"}, reuseCase{name: "0", family: IPv4, reuse: "0", delay: "20"}
	judged(t, "reuse switched off", run(t, noKernel(), oneLeg(one.leg(), few, behindItsBack(setting("net.ipv4.tcp_tw_reuse", "0")))), Refuted,
		"predicted 8 connections, measured 4 (EADDRNOTAVAIL)")
	judged(t, "reuse switched on", run(t, noKernel(), oneLeg(none.leg(), few, behindItsBack(setting("net.ipv4.tcp_tw_reuse", "1")))), Refuted,
		"predicted 4 connections, measured 8 (EADDRNOTAVAIL)")

	told := func(reused int) *fakeKernel {
		return &fakeKernel{told: memory.Evidence{
			Connections: 16, Hits: []memory.Hit{hit(limits.EphemeralPorts, unix.EADDRNOTAVAIL, 1)},
			TimeWaits: map[collector.TimeWaitEvent]int{collector.TimeWaitEnter: 4, collector.TimeWaitReuseConnect: reused},
		}}
	}
	judged(t, "no hook for reuse", run(t, told(0), oneLeg(one.leg(), few)), Held, "")
	judged(t, "each reuse seen", run(t, told(4), oneLeg(one.leg(), few)), Held, "")
	judged(t, "one not seen", run(t, told(3), oneLeg(one.leg(), few)), Refuted,
		"4 ports served again, the kernel told of 3 timewait sockets that a connect() took over")
	b := &Bench{Notes: map[string]int{"reused": 4, "TWRecycled": 3}}
	equal(t, "counter", reusesCounted(b, Measurement{}, memory.Evidence{}), "4 ports served again, TWRecycled grew by 3")
}

// TestReuseCasesDiffer: what the sysctl says is not the only thing that decides.
func TestReuseCasesDiffer(t *testing.T) {
	var loopback, elsewhere, hosts int
	for _, c := range reuseCases(Size{Full: true}) {
		switch at := c.to().Addr(); {
		case c.server == apart:
			hosts++
		case at.IsLoopback():
			loopback++
		default:
			elsewhere++
		}
		equal(t, c.name+": family", c.to().Addr().Is6(), c.family == IPv6)
	}
	equal(t, "every kind of place", loopback > 0 && elsewhere > 0 && hosts > 0, true)
}

func TestBucketsMoveBoth(t *testing.T) {
	movesBoth(t, "7 buckets", fillBuckets(IPv4, "", 7), 7)
	movesBoth(t, "49 buckets", fillBuckets(IPv6, "", 49), 49)
	movesBoth(t, "none", fillBuckets(IPv6, "", 0), 0)
	movesBoth(t, "more than closes", fillBuckets(IPv4, "", 51), 50)
	movesBoth(t, "fewer ports than buckets", with(fillBuckets(IPv4, "", 20), "net.ipv4.ip_local_port_range", "50000 50003"), 4)
}

func TestBucketsNotHeld(t *testing.T) {
	told := func(hits uint64, entered, overflowed int) *fakeKernel {
		return &fakeKernel{told: memory.Evidence{
			Connections: 100, Hits: []memory.Hit{hit(limits.TimeWaitBuckets, 0, hits)},
			TimeWaits: map[collector.TimeWaitEvent]int{
				collector.TimeWaitEnter: entered, collector.TimeWaitOverflow: overflowed,
			},
		}}
	}
	e := oneLeg(fillBuckets(IPv4, "", 38))
	e.Limit = limits.TimeWaitBuckets
	judged(t, "as it is", run(t, told(12, 38, 12), e), Held, "")
	judged(t, "a refusal not told", run(t, told(11, 38, 12), e), Refuted,
		"measured 12 refusals, the kernel told of 11 by time_wait_buckets")
	judged(t, "an entry too many", run(t, told(12, 39, 12), e), Refuted,
		"measured 38 active closes, the kernel told of 39 timewait sockets")
	judged(t, "an end not told", run(t, told(12, 38, 11), e), Refuted,
		"12 closes without a timewait socket, the kernel told of 11 such ends")
	b := &Bench{Notes: map[string]int{"TCPTimeWaitOverflow": 13}}
	equal(t, "counter", bucketsCounted(b, Measurement{Refusals: 12}, memory.Evidence{}),
		"12 closes without a timewait socket, TCPTimeWaitOverflow grew by 13")

	e = oneLeg(fillBuckets(IPv4, "", 38), behindItsBack(setting("net.ipv4.tcp_max_tw_buckets", "40")))
	judged(t, "raised behind its back", run(t, noKernel(), e), Refuted,
		"predicted 38 timewait sockets, measured 40 (no refusal)")
}
