package experiments

import (
	"context"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// TestScaleSettingsMoveBoth: whichever limit is the smallest, another value of it
// changes prediction and measurement together.
func TestScaleSettingsMoveBoth(t *testing.T) {
	ports := func(limits string) Experiment {
		return oneLeg(portsSmallest(), prepared(setting("net.ipv4.ip_local_port_range", limits)))
	}
	for limits, want := range map[string]int{"40000 40009": 10, "40000 40019": 20} {
		r := run(t, noKernel(), ports(limits))
		judged(t, limits, r, Inconclusive, withoutEvidence)
		equal(t, "predicted", r.Predicted.Value, 3*want*runtime.NumCPU())
		equal(t, "measured", r.Measured.Value, r.Predicted.Value)
	}
	var before int
	for i, noFile := range []uint64{64, 74} {
		s := &scale{addresses: 1, noFile: noFile, end: syscall.EMFILE}
		r := run(t, noKernel(), oneLeg(Leg{Name: "few", Prepare: s.prepare, Predict: s.predict, Push: s.push}))
		judged(t, "descriptors", r, Inconclusive, withoutEvidence)
		equal(t, "measured", r.Measured.Value, r.Predicted.Value)
		if i > 0 {
			equal(t, "more by", r.Measured.Value-before, 10*runtime.NumCPU())
		}
		before = r.Measured.Value
	}
}

// TestScaleChangedInBetween: fewer ports than predicted.
func TestScaleChangedInBetween(t *testing.T) {
	r := run(t, noKernel(), oneLeg(portsSmallest(), behindItsBack(setting("net.ipv4.ip_local_port_range", "40000 40049"))))
	equal(t, "verdict", r.Verdict, Refuted)
	equal(t, "measured", r.Measured.Value, r.Predicted.Value/2)
}

// TestScaleNeverAbove: what the machine has no room for is not opened.
func TestScaleNeverAbove(t *testing.T) {
	s := &scale{wanted: 500, addresses: 1}
	r := run(t, noKernel(), oneLeg(Leg{Name: "little memory", Prepare: s.prepare, Predict: s.predict, Push: s.push}, func(leg *Leg) {
		predict := leg.Predict
		leg.Predict = func(ctx context.Context, b *Bench) (Prediction, error) {
			s.room.memory = 100
			return predict(ctx, b)
		}
	}))
	judged(t, "little memory", r, Inconclusive, withoutEvidence)
	equal(t, "predicted", r.Predicted.Value, 100)
	equal(t, "measured", r.Measured.Value, 100)
}

func TestScaleParts(t *testing.T) {
	s := &scale{wanted: 10, pairs: make([]scalePair, 3), room: scaleRoom{predicted: 10}}
	equal(t, "all parts", s.part(0)+s.part(1)+s.part(2), 10)
	equal(t, "the first", s.part(0), 4)
}

func TestExtrapolation(t *testing.T) {
	s := &scale{wanted: 1000, room: scaleRoom{descriptors: 20_000, ports: 25_000}}
	found := map[string]Finding{}
	for _, f := range s.findings(scaled{n: 200_000, took: 10 * time.Second, slabs: 200_000 << 13, available: 200_000 << 14}) {
		found[f.Name+", "+f.Unit] = f
	}
	for name, want := range map[string]float64{
		"opened, with as many CPUs, connections/s":                          20_000,
		"in slabs, bytes a connection":                                      8192,
		"of MemAvailable, workers and tracing included, bytes a connection": 16384,
		"10^6 would take, at this rate, s":                                  50,
		"10^7 would take, at this rate, s":                                  500,
		"10^6 would take, as full as may be, processes":                     100,
		"10^7 would take, from one address, destinations":                   400,
	} {
		equal(t, name, found[name].Value, want)
	}
	equal(t, "of few connections", len(s.findings(scaled{n: 10, took: time.Second})), 8)
	equal(t, "of none", len(s.findings(scaled{})), 0)
}
