package experiments

import (
	"fmt"
	"slices"
	"syscall"

	"brink/collector"
	"brink/collector/memory"

	"golang.org/x/sys/unix"
)

// Verdict is what became of a prediction.
type Verdict string

// The verdicts.
const (
	Held         Verdict = "held"
	Refuted      Verdict = "refuted"
	Inconclusive Verdict = "inconclusive"
	Skipped      Verdict = "skipped"
)

// Evidence is what the kernel's own hooks told of a leg.
type Evidence struct {
	memory.Evidence
	// Mode is the weakest rung among the hooks that the experiment needs.
	Mode string
	// Lost is evidence that did not arrive whole.
	Lost uint64
}

// modeNone is the mode of a kernel that cannot be traced.
const modeNone = "none"

// judge holds prediction, measurement and evidence against each other. The
// reason names the two sources that disagree; it is empty only when held.
func judge(limit collector.Limit, p Prediction, m Measurement, e Evidence) (Verdict, string) {
	if reason := againstMeasurement(p, m); reason != "" {
		return Refuted, reason
	}
	if e.Mode == modeNone {
		return Inconclusive, "no kernel evidence: the kernel cannot be traced, or a hook that this needs is missing (see brink doctor)"
	}
	if e.Lost > 0 {
		return Inconclusive, fmt.Sprintf("%d pieces of kernel evidence were lost", e.Lost)
	}
	if reason := againstEvidence(limit, p, m, e); reason != "" {
		return Refuted, reason
	}
	return Held, ""
}

func againstMeasurement(p Prediction, m Measurement) string {
	switch {
	case m.Problem != "":
		return "measured: " + m.Problem
	case !p.agrees(m.Value):
		return fmt.Sprintf("predicted %d %s, measured %d (%s)", p.Value, p.Unit, m.Value, errnoWord(m.Errno))
	case m.Errno != p.Errno:
		return fmt.Sprintf("predicted %s, measured %s", errnoWord(p.Errno), errnoWord(m.Errno))
	case p.refusal() && m.Refusals == 0:
		return "predicted a refusal, measured none"
	case !p.refusal() && m.Refusals > 0:
		return fmt.Sprintf("predicted no refusal, measured %d", m.Refusals)
	}
	return ""
}

func againstEvidence(limit collector.Limit, p Prediction, m Measurement, e Evidence) string {
	if e.Connections != m.Endpoints {
		return fmt.Sprintf("measured %d established endpoints, the kernel told of %d", m.Endpoints, e.Connections)
	}
	if hits := e.HitsOf(limit); hits != uint64(m.Refusals) {
		return fmt.Sprintf("measured %d refusals, the kernel told of %d by %s", m.Refusals, hits, limit)
	}
	for _, h := range e.Hits {
		if h.Limit != limit {
			return fmt.Sprintf("the kernel told of %d refusals by %s, which nothing predicted", h.Count, h.Limit)
		}
		if told := syscall.Errno(h.Errno); told != p.hitErrno() {
			return fmt.Sprintf("predicted a refusal with %s, the kernel told of one with %s", errnoInHit(p.hitErrno()), errnoInHit(told))
		}
	}
	if entered := e.TimeWaits[collector.TimeWaitEnter]; entered != m.TimeWaits {
		return fmt.Sprintf("measured %d active closes, the kernel told of %d timewait sockets", m.TimeWaits, entered)
	}
	return ""
}

func errnoWord(errno syscall.Errno) string {
	if errno == 0 {
		return "no refusal"
	}
	return unix.ErrnoName(errno)
}

func errnoInHit(errno syscall.Errno) string {
	if errno == 0 {
		return "no errno"
	}
	return unix.ErrnoName(errno)
}

// together is the verdict of several legs: refuted or inconclusive if one of them
// is, and skipped only if nothing was left to hold.
func together(legs []LegResult) (Verdict, string) {
	for _, verdict := range []Verdict{Refuted, Inconclusive} {
		if i := first(legs, verdict); i == 0 {
			return verdict, legs[i].Reason
		} else if i > 0 {
			return verdict, legs[i].Name + ": " + legs[i].Reason
		}
	}
	if first(legs, Held) < 0 {
		return Skipped, legs[0].Reason
	}
	return Held, ""
}

func first(legs []LegResult, verdict Verdict) int {
	return slices.IndexFunc(legs, func(leg LegResult) bool { return leg.Verdict == verdict })
}
