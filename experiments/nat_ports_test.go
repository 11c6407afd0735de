package experiments

import (
	"net/netip"
	"testing"

	"brink/collector/limits"
	"brink/collector/memory"
	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

// TestPoolMovesBoth: another pool, another number, measured as predicted.
func TestPoolMovesBoth(t *testing.T) {
	for _, row := range []struct {
		leg            Leg
		value, refused int
	}{
		{throughNAT("one port", IPv4, 1, 1, 2), 1, 1},
		{throughNAT("4 ports", IPv6, 4, 1, 6), 4, 2},
		{throughNAT("3 ports, 2 destinations", IPv4, 3, 2, 8), 6, 2},
		{throughNAT("all have room", IPv6, 5, 2, 9), 9, 0},
		{withoutNAT(7), 7, 0},
	} {
		t.Run(row.leg.Name, func(t *testing.T) {
			r := run(t, noKernel(), oneLeg(row.leg))
			judged(t, row.leg.Name, r, Inconclusive, withoutEvidence)
			equal(t, "predicted", r.Predicted.Value, row.value)
			equal(t, "measured", r.Measured.Value, row.value)
			equal(t, "at least refused", r.Measured.Refusals >= row.refused, true)
		})
	}
}

// TestPoolNotHeld: what the kernel tells must be what the clients missed.
func TestPoolNotHeld(t *testing.T) {
	leg := throughNAT("IPv4", IPv4, 3, 1, 5)
	told := func(limit memory.Hit) Result {
		e := oneLeg(leg)
		e.Limit = limits.NATPorts
		return run(t, &fakeKernel{told: memory.Evidence{Connections: 6, Hits: []memory.Hit{limit}}}, e)
	}
	judged(t, "as it is", told(hit(limits.NATPorts, 0, 2)), Held, "")
	judged(t, "a refusal too many", told(hit(limits.NATPorts, 0, 3)), Refuted, "measured 2 refusals, the kernel told of 3 by nat_ports")
	judged(t, "another limit", told(hit(limits.ConntrackTable, 0, 2)), Refuted, "measured 2 refusals, the kernel told of 0 by nat_ports")
	judged(t, "with an errno", told(hit(limits.NATPorts, unix.EPERM, 2)), Refuted,
		"predicted a refusal with no errno, the kernel told of one with EPERM")
	b := &Bench{Notes: map[string]int{"drop": 1}}
	equal(t, "counter", dropsCounted(b, Measurement{Refusals: 2}, memory.Evidence{}),
		"measured 2 refusals, /proc/net/stat/nf_conntrack has drop 1")
}

// TestSeenThroughNAT: the server's own view of its clients is part of the measurement.
func TestSeenThroughNAT(t *testing.T) {
	b, ctx, r := newBench(t), deadline(t), routed{IPv4}
	server := netip.AddrPortFrom(r.server().Addr(), firstPort)
	greeted := func(clients ...string) string {
		var c lab.ConnectResult
		for _, client := range clients {
			c.Greetings = append(c.Greetings, lab.Greeting{Server: server, Client: netip.MustParseAddrPort(client)})
		}
		return must(r.seen(ctx, b, c))(t)
	}
	equal(t, "own address", greeted("10.1.0.2:4000", "10.1.0.2:4001"), "")
	equal(t, "translated without a rule", greeted("10.2.0.1:5000"), "without NAT 10.2.0.2:6001 sees the client at 10.2.0.1:5000")
	noError(t, b.Lab.SNAT(ctx, lab.NAT{Protocol: unix.IPPROTO_TCP, To: r.outer().Addr(), Low: 5000, High: 5002}))
	equal(t, "the pool", greeted("10.2.0.1:5002", "10.2.0.1:5000", "10.2.0.1:5001"), "")
	equal(t, "twice", greeted("10.2.0.1:5002", "10.2.0.1:5002"), "10.2.0.2:6001 has two connections from 10.2.0.1:5002")
	for _, outside := range []string{"10.2.0.1:5003", "10.2.0.1:4999", "10.1.0.2:5001"} {
		equal(t, outside, greeted(outside) != "", true)
	}
}
