package experiments

import (
	"testing"

	"brink/collector/limits"
	"brink/collector/memory"
)

func TestWithoutLastQuarter(t *testing.T) {
	for most, want := range map[int]int{128: 97, 40: 31, 41: 32, 43: 34, 44: 34, 4: 4, 3: 4} { // 40 and 41 seen on 6.18
		equal(t, "of max_syn_backlog", withoutLastQuarter(most), want)
	}
}

func TestPredictSYNQueue(t *testing.T) {
	b, ctx := newBench(t), deadline(t)
	extra := must(b.synQueueExtra(ctx))(t)
	for _, row := range []struct {
		cookies, maxSYNBacklog, somaxconn string
		backlog, want, inputs             int
	}{
		{"0", "1024", "4096", 8, 8 + extra, 4},
		{"0", "1024", "4", 8, 4 + extra, 4},
		{"0", "40", "4096", 100, 31, 4},
		{"1", "40", "4096", 100, 100 + extra, 3},
		{"1", "40", "6", 100, 6 + extra, 3},
	} {
		noError(t, b.set(ctx, "net.ipv4.tcp_syncookies", row.cookies, "net.ipv4.tcp_max_syn_backlog", row.maxSYNBacklog,
			"net.core.somaxconn", row.somaxconn))
		p := must(b.predictSYNQueue(ctx, row.backlog))(t)
		equal(t, "handshakes", p.Value, row.want)
		equal(t, "inputs", len(p.Inputs), row.inputs)
	}
}

// TestSYNQueueMovesBoth: measured is what the settings then say, also where the
// last quarter of tcp_max_syn_backlog is what refuses.
func TestSYNQueueMovesBoth(t *testing.T) {
	extra := must(newBench(t).synQueueExtra(deadline(t)))(t)
	quarter := setting("net.ipv4.tcp_max_syn_backlog", "41")
	for _, row := range []struct {
		name string
		e    Experiment
		want int
	}{
		{"backlog 1", oneLeg(dropSYNs(IPv4, 1)), 1 + extra},
		{"backlog 20", oneLeg(dropSYNs(IPv6, 20)), 20 + extra},
		{"the last quarter", oneLeg(dropSYNs(IPv4, 100), prepared(quarter)), 32},
		{"no quarter with cookies", oneLeg(answerByCookie(IPv4, 60), prepared(quarter)), 60 + extra + tooMany},
		{"cookies beyond backlog 2", oneLeg(answerByCookie(IPv6, 2)), 2 + extra + tooMany},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := run(t, noKernel(), row.e)
			judged(t, row.name, r, Inconclusive, withoutEvidence)
			equal(t, "predicted", r.Predicted.Value, row.want)
			equal(t, "measured", r.Measured.Value, row.want)
		})
	}
}

// TestSYNQueueNotHeld: cookies switched on or off behind the prediction's back,
// and a kernel that tells of something else.
func TestSYNQueueNotHeld(t *testing.T) {
	on, off := setting("net.ipv4.tcp_syncookies", "1"), setting("net.ipv4.tcp_syncookies", "0")
	equal(t, "cookies on", run(t, noKernel(), oneLeg(dropSYNs(IPv4, 2), behindItsBack(on))).Verdict, Refuted)
	equal(t, "cookies off", run(t, noKernel(), oneLeg(answerByCookie(IPv4, 2), behindItsBack(off))).Verdict, Refuted)

	extra := must(newBench(t).synQueueExtra(deadline(t)))(t)
	told := func(endpoints int, count uint64) Result {
		e := oneLeg(answerByCookie(IPv4, 4))
		e.Limit = limits.SYNQueue
		return run(t, &fakeKernel{told: memory.Evidence{Connections: endpoints, Hits: []memory.Hit{hit(limits.SYNQueue, 0, count)}}}, e)
	}
	endpoints := 4 + extra + 2*tooMany
	judged(t, "as it is", told(endpoints, tooMany), Held, "")
	equal(t, "a cookie less", told(endpoints, tooMany-1).Verdict, Refuted)
	equal(t, "a connection less", told(endpoints-1, tooMany).Verdict, Refuted)

	b := &Bench{Notes: map[string]int{"TCPReqQFullDrop": 2, "SyncookiesSent": 3, "SyncookiesRecv": 2, "beyond": 3}}
	equal(t, "drops", synDropsCounted(b, Measurement{Refusals: 3}, memory.Evidence{}), "measured 3 refusals, TCPReqQFullDrop grew by 2")
	equal(t, "cookies", cookiesCounted(b, Measurement{Refusals: 3}, memory.Evidence{}),
		"measured 3 refusals and 3 handshakes beyond the queue, SyncookiesSent grew by 3 and SyncookiesRecv by 2")
}
