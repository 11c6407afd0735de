package experiments

import (
	"syscall"
	"testing"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/memory"

	"golang.org/x/sys/unix"
)

// sources are what judge is given; a row changes one thing in one that agrees.
type sources struct {
	limit collector.Limit
	p     Prediction
	m     Measurement
	e     Evidence
}

func hit(limit collector.Limit, errno unix.Errno, count uint64) memory.Hit {
	return memory.Hit{Limit: limit, Errno: errno, Count: count}
}

// toldErrno: a call of the program is refused, and so says the kernel.
func toldErrno() sources {
	return sources{
		limit: limits.EphemeralPorts,
		p:     Prediction{Value: 4, Unit: "connections", Errno: syscall.EADDRNOTAVAIL},
		m:     Measurement{Value: 4, Errno: syscall.EADDRNOTAVAIL, Refusals: 1, Endpoints: 8, TimeWaits: 2},
		e: Evidence{Mode: "tracepoint", Evidence: memory.Evidence{
			Connections: 8, Hits: []memory.Hit{hit(limits.EphemeralPorts, unix.EADDRNOTAVAIL, 1)},
			TimeWaits: map[collector.TimeWaitEvent]int{collector.TimeWaitEnter: 2},
		}},
	}
}

// allStanding: nothing is refused.
func allStanding() sources {
	s := toldErrno()
	s.p.Errno, s.m.Errno, s.m.Refusals, s.e.Hits = 0, 0, 0, nil
	return s
}

// droppedPacket: the kernel refuses apart from the program, which learns nothing.
func droppedPacket() sources {
	s := toldErrno()
	s.limit, s.p.Errno, s.p.Apart, s.m.Errno = limits.AcceptQueue, 0, true, 0
	s.e.Hits = []memory.Hit{hit(limits.AcceptQueue, 0, 1)}
	return s
}

// lateTold: likewise, but the program is told afterwards, by a reset.
func lateTold() sources {
	s := droppedPacket()
	s.p.Errno, s.m.Errno = syscall.ECONNRESET, syscall.ECONNRESET
	return s
}

func TestJudgeHeld(t *testing.T) {
	for name, agree := range map[string]func() sources{
		"told": toldErrno, "standing": allStanding, "dropped": droppedPacket, "told late": lateTold,
	} {
		s := agree()
		verdict, reason := judge(s.limit, s.p, s.m, s.e)
		equal(t, name, verdict, Held)
		equal(t, name+": reason", reason, "")
	}
}

// TestJudgeDisagreement: one source says something else, and the reason names it
// and the one that it contradicts.
func TestJudgeDisagreement(t *testing.T) {
	for _, row := range []struct {
		name    string
		agree   func() sources
		change  func(*sources)
		verdict Verdict
		reason  string
	}{
		{"value", toldErrno, func(s *sources) { s.m.Value = 5 }, Refuted,
			"predicted 4 connections, measured 5 (EADDRNOTAVAIL)"},
		{"value, nothing refused", allStanding, func(s *sources) { s.m.Value = 3 }, Refuted,
			"predicted 4 connections, measured 3 (no refusal)"},
		{"errno", toldErrno, func(s *sources) { s.m.Errno = syscall.EADDRINUSE }, Refuted,
			"predicted EADDRNOTAVAIL, measured EADDRINUSE"},
		{"no errno", toldErrno, func(s *sources) { s.m.Errno = 0 }, Refuted,
			"predicted EADDRNOTAVAIL, measured no refusal"},
		{"errno although silent", droppedPacket, func(s *sources) { s.m.Errno = syscall.ECONNREFUSED }, Refuted,
			"predicted no refusal, measured ECONNREFUSED"},
		{"errno although none", allStanding, func(s *sources) { s.m.Errno = syscall.EMFILE }, Refuted,
			"predicted no refusal, measured EMFILE"},
		{"problem", toldErrno, func(s *sources) { s.m.Problem = "answered by somebody else" }, Refuted,
			"measured: answered by somebody else"},
		{"no refusals", toldErrno, func(s *sources) { s.m.Refusals, s.e.Hits = 0, nil }, Refuted,
			"predicted a refusal, measured none"},
		{"no refusals, silent", droppedPacket, func(s *sources) { s.m.Refusals, s.e.Hits = 0, nil }, Refuted,
			"predicted a refusal, measured none"},
		{"refusals that the kernel confirms", allStanding, func(s *sources) {
			s.m.Refusals, s.e.Hits = 3, []memory.Hit{hit(s.limit, 0, 3)}
		}, Refuted, "predicted no refusal, measured 3"},

		{"endpoints", toldErrno, func(s *sources) { s.m.Endpoints = 7 }, Refuted,
			"measured 7 established endpoints, the kernel told of 8"},
		{"connections", toldErrno, func(s *sources) { s.e.Connections = 0 }, Refuted,
			"measured 8 established endpoints, the kernel told of 0"},
		{"no hits", toldErrno, func(s *sources) { s.e.Hits = nil }, Refuted,
			"measured 1 refusals, the kernel told of 0 by ephemeral_ports"},
		{"more hits", toldErrno, func(s *sources) { s.e.Hits[0].Count = 2 }, Refuted,
			"measured 1 refusals, the kernel told of 2 by ephemeral_ports"},
		{"hits of two hooks", toldErrno, func(s *sources) { s.e.Hits = append(s.e.Hits, s.e.Hits[0]) }, Refuted,
			"measured 1 refusals, the kernel told of 2 by ephemeral_ports"},
		{"unpredicted hits", allStanding, func(s *sources) { s.e.Hits = []memory.Hit{hit(s.limit, 0, 1)} }, Refuted,
			"measured 0 refusals, the kernel told of 1 by ephemeral_ports"},
		{"foreign hits besides", toldErrno, func(s *sources) {
			s.e.Hits = append(s.e.Hits, hit(limits.FileDescriptors, unix.EMFILE, 5))
		}, Refuted, "the kernel told of 5 refusals by file_descriptors, which nothing predicted"},
		{"foreign hits alone", allStanding, func(s *sources) {
			s.e.Hits = []memory.Hit{hit(limits.AcceptQueue, 0, 2)}
		}, Refuted, "the kernel told of 2 refusals by accept_queue, which nothing predicted"},
		{"foreign hits instead", toldErrno, func(s *sources) { s.e.Hits[0].Limit = limits.FourTuple }, Refuted,
			"measured 1 refusals, the kernel told of 0 by ephemeral_ports"},
		{"errno of a hit", toldErrno, func(s *sources) { s.e.Hits[0].Errno = unix.EADDRINUSE }, Refuted,
			"predicted a refusal with EADDRNOTAVAIL, the kernel told of one with EADDRINUSE"},
		{"no errno in a hit", toldErrno, func(s *sources) { s.e.Hits[0].Errno = 0 }, Refuted,
			"predicted a refusal with EADDRNOTAVAIL, the kernel told of one with no errno"},
		{"errno in a hit apart", droppedPacket, func(s *sources) { s.e.Hits[0].Errno = unix.ENOMEM }, Refuted,
			"predicted a refusal with no errno, the kernel told of one with ENOMEM"},
		{"the program's errno in a hit apart", lateTold, func(s *sources) { s.e.Hits[0].Errno = unix.ECONNRESET }, Refuted,
			"predicted a refusal with no errno, the kernel told of one with ECONNRESET"},
		{"never told", lateTold, func(s *sources) { s.m.Errno = 0 }, Refuted,
			"predicted ECONNRESET, measured no refusal"},
		{"timewaits", toldErrno, func(s *sources) { s.m.TimeWaits = 3 }, Refuted,
			"measured 3 active closes, the kernel told of 2 timewait sockets"},
		{"timewaits without a close", toldErrno, func(s *sources) { s.m.TimeWaits = 0 }, Refuted,
			"measured 0 active closes, the kernel told of 2 timewait sockets"},
		{"timewaits not told", toldErrno, func(s *sources) { s.e.TimeWaits = nil }, Refuted,
			"measured 2 active closes, the kernel told of 0 timewait sockets"},

		{"lost", toldErrno, func(s *sources) { s.e.Lost = 1 }, Inconclusive,
			"1 pieces of kernel evidence were lost"},
		{"lost what is missing", toldErrno, func(s *sources) { s.e.Lost, s.e.Hits = 1, nil }, Inconclusive,
			"1 pieces of kernel evidence were lost"},
		{"mode none", toldErrno, func(s *sources) { s.e = Evidence{Mode: modeNone} }, Inconclusive,
			"no kernel evidence: the kernel cannot be traced, or a hook that this needs is missing (see brink doctor)"},
		{"mode none, hits nonetheless", toldErrno, func(s *sources) { s.e.Mode = modeNone }, Inconclusive,
			"no kernel evidence: the kernel cannot be traced, or a hook that this needs is missing (see brink doctor)"},
		{"wrong without evidence", toldErrno, func(s *sources) { s.e, s.m.Value = Evidence{Mode: modeNone}, 5 }, Refuted,
			"predicted 4 connections, measured 5 (EADDRNOTAVAIL)"},
	} {
		s := row.agree()
		row.change(&s)
		verdict, reason := judge(s.limit, s.p, s.m, s.e)
		equal(t, row.name, verdict, row.verdict)
		equal(t, row.name+": reason", reason, row.reason)
	}
}

func TestTogether(t *testing.T) {
	held, refuted := LegResult{Name: "a", Verdict: Held}, LegResult{Name: "b", Verdict: Refuted, Reason: "so"}
	open, skipped := LegResult{Name: "c", Verdict: Inconclusive, Reason: "lost"}, LegResult{Name: "d", Verdict: Skipped, Reason: "no"}
	for _, row := range []struct {
		name    string
		legs    []LegResult
		verdict Verdict
		reason  string
	}{
		{"one held", []LegResult{held}, Held, ""},
		{"all held", []LegResult{held, held}, Held, ""},
		{"the first needs no name", []LegResult{refuted, held}, Refuted, "so"},
		{"a later one has its name", []LegResult{held, refuted}, Refuted, "b: so"},
		{"refuted above inconclusive", []LegResult{open, skipped, refuted}, Refuted, "b: so"},
		{"inconclusive above skipped", []LegResult{held, skipped, open}, Inconclusive, "c: lost"},
		{"held beside skipped", []LegResult{skipped, held}, Held, ""},
		{"all skipped", []LegResult{skipped, skipped}, Skipped, "no"},
		{"the first of a kind", []LegResult{held, open, {Name: "e", Verdict: Inconclusive}}, Inconclusive, "c: lost"},
	} {
		verdict, reason := together(row.legs)
		equal(t, row.name, verdict, row.verdict)
		equal(t, row.name+": reason", reason, row.reason)
	}
}
