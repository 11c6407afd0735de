package experiments

import (
	"testing"
	"time"

	"brink/collector/limits"
	"brink/collector/memory"
)

const ms = time.Millisecond

func TestPredictRates(t *testing.T) {
	b, ctx := newBench(t), deadline(t)
	for _, row := range []struct {
		rates     rates
		somaxconn string
		want      int
		seconds   float64
	}{
		{rates{9, 10 * ms, 20 * ms}, "4096", 20, 0.2},
		{rates{9, 10 * ms, 40 * ms}, "4096", 13, 0.133},
		{rates{9, 10 * ms, 11 * ms}, "4096", 110, 1.1},
		{rates{100, 10 * ms, 20 * ms}, "4", 10, 0.1},
	} {
		noError(t, b.set(ctx, "net.core.somaxconn", row.somaxconn))
		p := must(row.rates.predict(ctx, b))(t)
		equal(t, "connections", p.Value, row.want)
		equal(t, "seconds", p.Inputs[4], Input{"seconds", row.seconds})
	}
}

// TestRatesMoveBoth: the queue lasts longer, the less it grows.
func TestRatesMoveBoth(t *testing.T) {
	for name, row := range map[string]rates{
		"half":   {19, 15 * ms, 30 * ms},
		"fourth": {24, 15 * ms, 60 * ms},
	} {
		r := run(t, noKernel(), oneLeg(row.overtaken(IPv4)))
		judged(t, name, r, Inconclusive, withoutEvidence)
		equal(t, name+": refused", r.Measured.Refusals > 0, true)
	}
}

// TestRatesNotHeld: a server that is not as slow as predicted, and one that is slower.
func TestRatesNotHeld(t *testing.T) {
	slow, slower, fast := rates{19, 15 * ms, 30 * ms}, rates{19, 15 * ms, 600 * ms}, rates{19, 15 * ms, 5 * ms}
	pushedBy := func(r rates) Experiment {
		return oneLeg(slow.overtaken(IPv4), func(leg *Leg) {
			leg.Push = r.overtaken(IPv4).Push
			if r == fast {
				leg.Push = r.keptUp(IPv4).Push
			}
		})
	}
	equal(t, "slower", run(t, noKernel(), pushedBy(slower)).Verdict, Refuted)
	judged(t, "fast", run(t, noKernel(), pushedBy(fast)), Refuted, "predicted a refusal, measured none")

	e := oneLeg(slow.overtaken(IPv4))
	e.Limit = limits.AcceptQueue
	k := &fakeKernel{told: memory.Evidence{Connections: 1, Hits: []memory.Hit{hit(limits.AcceptQueue, 0, 1)}}}
	equal(t, "other endpoints", run(t, k, e).Verdict, Refuted)

	b := &Bench{Notes: map[string]int{"milliseconds": 900, "ListenOverflows": 1}}
	equal(t, "clock", slow.filledInTime(b, Measurement{Value: 40, Refusals: 1}, memory.Evidence{}), "40 connections, one each 15ms, took 900 ms")
	b.Notes["milliseconds"] = 600
	equal(t, "clock", slow.filledInTime(b, Measurement{Value: 40, Refusals: 1}, memory.Evidence{}), "")
	equal(t, "counter", slow.filledInTime(b, Measurement{Value: 40, Refusals: 2}, memory.Evidence{}), "measured 2 refusals, ListenOverflows grew by 1")
}
