package experiments

import (
	"net/netip"
	"syscall"
	"testing"

	"brink/collector/limits"
	"brink/collector/memory"
	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

func rangeOf(low, high string) func() (portRange, error) {
	return func() (portRange, error) { return portRange{low: low, high: high}, nil }
}

// movesBoth wants prediction and measurement of a leg to be a number, and to agree
// about how it ends.
func movesBoth(t *testing.T, name string, leg Leg, want int) {
	t.Run(name, func(t *testing.T) {
		r := run(t, noKernel(), oneLeg(leg))
		if r.Verdict == Skipped {
			t.Skip(r.Reason)
		}
		judged(t, name, r, Inconclusive, withoutEvidence)
		equal(t, "predicted", r.Predicted.Value, want)
		equal(t, "measured", r.Measured.Value, want)
		equal(t, "errno", r.Measured.Errno, r.Predicted.Errno)
	})
}

func with(leg Leg, settings ...string) Leg {
	prepared(setting(settings...))(&leg)
	return leg
}

// TestRangesMoveBoth: other ranges, other numbers, however the port is chosen.
func TestRangesMoveBoth(t *testing.T) {
	six, ten := rangeOf("50000", "50005"), rangeOf("50000", "50009")
	movesBoth(t, "bound first", bindFirst(IPv4, 1, 1, six), 6)
	movesBoth(t, "bound first, two destinations", bindFirst(IPv6, 2, 1, ten), 10)
	movesBoth(t, "bound first, two addresses", bindFirst(IPv4, 2, 2, ten), 20)
	movesBoth(t, "bound first, a port reserved", with(bindFirst(IPv4, 2, 1, ten), "net.ipv4.ip_local_reserved_ports", "50003"), 9)
	movesBoth(t, "no port at bind()", bindLate(IPv4, six), 12)
	movesBoth(t, "3 clients", manyClients(IPv4, 3, six), 18)
	movesBoth(t, "7 clients", manyClients(IPv6, 7, ten), 70)
	movesBoth(t, "3 clients, no more", noMoreThanPredicted(IPv4, 3, ten), 30)
	movesBoth(t, "3 ports", manyDestinations("", IPv4, portsOf(IPv4, 3), six), 18)
	movesBoth(t, "7 addresses", manyDestinations("", IPv6, addressesOf(IPv6, 7), ten), 70)
	movesBoth(t, "4 ports of IPv6, two reserved", with(manyDestinations("", IPv6, portsOf(IPv6, 4), ten),
		"net.ipv4.ip_local_reserved_ports", "50001-50002"), 32)
}

// TestBindFirstNotHeld: the right number, and a kernel that tells of another end.
func TestBindFirstNotHeld(t *testing.T) {
	told := func(errno unix.Errno, count uint64) *fakeKernel {
		return &fakeKernel{told: memory.Evidence{
			Connections: 12, Hits: []memory.Hit{hit(limits.EphemeralPorts, errno, count)},
		}}
	}
	e := oneLeg(bindFirst(IPv4, 2, 1, rangeOf("50000", "50005")))
	judged(t, "as it is", run(t, told(unix.EADDRINUSE, 1), e), Held, "")
	judged(t, "refused by connect()", run(t, told(unix.EADDRNOTAVAIL, 1), e), Refuted,
		"predicted a refusal with EADDRINUSE, the kernel told of one with EADDRNOTAVAIL")
	judged(t, "refused for each destination", run(t, told(unix.EADDRINUSE, 2), e), Refuted,
		"measured 1 refusals, the kernel told of 2 by ephemeral_ports")
	e = oneLeg(bindFirst(IPv4, 1, 1, rangeOf("50000", "50005")), behindItsBack(setting("net.ipv4.ip_local_port_range", "50000 50003")))
	judged(t, "narrowed", run(t, noKernel(), e), Refuted, "predicted 6 connections, measured 4 (EADDRINUSE)")
}

// TestClientsAreToldApart: what one address has used up is no other's.
func TestClientsAreToldApart(t *testing.T) {
	told := func(ends int, refusals uint64) *fakeKernel {
		return &fakeKernel{told: memory.Evidence{
			Connections: ends, Hits: []memory.Hit{hit(limits.EphemeralPorts, unix.EADDRNOTAVAIL, refusals)},
		}}
	}
	e := oneLeg(manyClients(IPv4, 2, rangeOf("50000", "50005")))
	judged(t, "one for each client", run(t, told(24, 2), e), Held, "")
	judged(t, "a refusal too many", run(t, told(24, 3), e), Refuted, "measured 2 refusals, the kernel told of 3 by ephemeral_ports")
	judged(t, "an end missing", run(t, told(23, 2), e), Refuted, "measured 24 established endpoints, the kernel told of 23")
}

func TestFilesSuffice(t *testing.T) {
	noError(t, suffice("592\t0\t2470", 939))
	isError(t, suffice("592\t0\t2470", 940), "both ends take 940 files, and the whole host has 1878 left (fs.file-max)")
	isError(t, suffice("many", 1), `fs.file-nr is "many"`)
}

// TestServersAreDivided: what one worker holds it serves alone, and what is more
// goes to several that serve nothing else.
func TestServersAreDivided(t *testing.T) {
	b, ctx := newBench(t), deadline(t)
	_, room, err := b.roomyWorker(ctx)
	noError(t, err)
	noError(t, b.serveAll(ctx, room/2, portsOf(IPv4, 3)...)) // two and one
	noError(t, b.serveAll(ctx, 2*room+1, IPv4.at(2, firstPort), IPv4.at(3, firstPort)))
	served := map[netip.AddrPort]int{}
	workers := map[*lab.Worker]int{}
	for _, s := range b.servers {
		served[s.listener.Addr]++
		workers[s.worker]++
	}
	equal(t, "of the first", served[IPv4.at(1, firstPort)], 1)
	equal(t, "of the third", served[IPv4.at(1, firstPort+2)], 1)
	equal(t, "of the large one", served[IPv4.at(2, firstPort)], 3)
	equal(t, "of the other large one", served[IPv4.at(3, firstPort)], 3)
	equal(t, "workers", len(workers), 2+3+3)
}

// TestDestinationsStayEven: a client that is full leaves each destination with as
// many connections as the others, so that the next one can go on in turn.
func TestDestinationsStayEven(t *testing.T) {
	b, ctx := newBench(t), deadline(t)
	var err error
	b.Client, err = b.worker(ctx, lab.WorkerOptions{NoFile: 48})
	noError(t, err)
	n := must(b.clientFor(ctx, 5))(t)
	if n == 0 || n%5 != 0 {
		t.Errorf("%d connections are not divided by 5", n)
	}
	small := b.Client
	must(b.clientFor(ctx, 1000))(t)
	equal(t, "another client follows", b.Client != small, true)
}

func TestWithin(t *testing.T) {
	for _, row := range []struct {
		own       [2]uint16
		low, high int
	}{
		{[2]uint16{40050, 40089}, 40050, 40089},
		{[2]uint16{40000, 40199}, 40000, 40199},
		{[2]uint16{39999, 40200}, 40000, 40199},
		{[2]uint16{39000, 40029}, 40000, 40029},
		{[2]uint16{40170, 41000}, 40170, 40199},
		{[2]uint16{40150, 0}, 40150, 40199},
		{[2]uint16{0, 40009}, 40000, 40009},
		{[2]uint16{50000, 50009}, 40000, 40199},
		{[2]uint16{}, 40000, 40199},
	} {
		low, high := within(row.own, 40000, 40199)
		equal(t, "range", [2]int{low, high}, [2]int{row.low, row.high})
	}
}

// TestOwnRangesMoveBoth: the namespace's range moves the socket's.
func TestOwnRangesMoveBoth(t *testing.T) {
	movesBoth(t, "inside", ownRange(IPv4, "", [2]uint16{40002, 40007}), 6)
	movesBoth(t, "two reserved of it", with(ownRange(IPv6, "", [2]uint16{40002, 40011}),
		"net.ipv4.ip_local_reserved_ports", "40000-40003"), 8)
	movesBoth(t, "the namespace's ends first", with(ownRange(IPv4, "", [2]uint16{40002, 40011}),
		"net.ipv4.ip_local_port_range", "40000 40005"), 4)
	movesBoth(t, "the namespace's is elsewhere", with(ownRange(IPv4, "", [2]uint16{40002, 40011}),
		"net.ipv4.ip_local_port_range", "50000 50003"), 4)
	movesBoth(t, "bound first", with(boundInOwnRange(IPv4), "net.ipv4.ip_local_port_range", "40000 40059"), 10)
	movesBoth(t, "two ranges", with(twoOwnRanges(IPv4), "net.ipv4.ip_local_port_range", "40000 40099"), 50)
}

// TestOwnRangeNotHeld: the socket is given another range than the prediction knows.
func TestOwnRangeNotHeld(t *testing.T) {
	leg := ownRange(IPv4, "", [2]uint16{40002, 40007})
	leg.Push = ownRange(IPv4, "", [2]uint16{40002, 40009}).Push
	r := run(t, noKernel(), oneLeg(leg))
	if r.Verdict == Skipped {
		t.Skip(r.Reason)
	}
	judged(t, "a wider range", r, Refuted, "predicted 6 connections, measured 8 (EADDRNOTAVAIL)")
	equal(t, "errno", r.Measured.Errno, unix.ErrnoName(syscall.EADDRNOTAVAIL))
}
