package experiments

import (
	"context"
	"testing"

	"brink/experiments/lab"
)

// withoutEvidence is the verdict of legs whose prediction and measurement agree
// where the kernel cannot be traced.
const withoutEvidence = "no kernel evidence: the kernel cannot be traced, or a hook that this needs is missing (see brink doctor)"

// TestSettingsMoveBoth: other settings, and prediction and measurement change
// together. Nothing of either is written down anywhere.
func TestSettingsMoveBoth(t *testing.T) {
	ports := func(limits, reserved string) Experiment {
		return fourPorts(prepared(setting("net.ipv4.ip_local_port_range", limits, "net.ipv4.ip_local_reserved_ports", reserved)))
	}
	two := func(limits string) Experiment {
		return oneLeg(twoDestinations(IPv4), prepared(setting("net.ipv4.ip_local_port_range", limits)))
	}
	closing := func(f Family, limits string) Experiment {
		return oneLeg(closeActively(f), prepared(setting("net.ipv4.ip_local_port_range", limits)))
	}
	resetting := func(limits string) Experiment {
		return oneLeg(closeByReset(IPv4), prepared(setting("net.ipv4.ip_local_port_range", limits)))
	}
	somaxconn := func(value string, leg Leg) Experiment {
		prepare := leg.Prepare
		leg.Prepare = func(ctx context.Context, b *Bench) error { // before listen(), which looks at it
			if err := b.set(ctx, "net.core.somaxconn", value); err != nil {
				return err
			}
			return prepare(ctx, b)
		}
		return oneLeg(leg)
	}
	for _, row := range []struct {
		name string
		e    Experiment
		want int
	}{
		{"10 ports", ports("50000 50009", ""), 10},
		{"one port", ports("50000 50000", ""), 1},
		{"10 ports, 4 reserved", ports("50000 50009", "50001,50004-50006,60000"), 6},
		{"30 ports to two destinations", two("50000 50029"), 60},
		{"6 ports closed actively", closing(IPv4, "50000 50005"), 6},
		{"8 ports closed actively", closing(IPv6, "50000 50007"), 8},
		{"6 ports reset twice", resetting("50000 50005"), 12},
		{"backlog 1", oneLeg(nobodyAccepts(IPv4, 1)), 2},
		{"backlog 20", oneLeg(nobodyAccepts(IPv6, 20)), 21},
		{"backlog 20 cut to 2", somaxconn("2", nobodyAccepts(IPv4, 20)), 3},
		{"reset beyond backlog 4", oneLeg(lateReset(IPv4, 4)), 5},
		{"reset beyond backlog 33", oneLeg(lateReset(IPv6, 33)), 34},
		{"reset beyond backlog 33 cut to 7", somaxconn("7", lateReset(IPv4, 33)), 8},
		{"5 sockets", oneLeg(oneListener(IPv4, 5)), 5},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := run(t, noKernel(), row.e)
			judged(t, row.name, r, Inconclusive, withoutEvidence)
			equal(t, "predicted", r.Predicted.Value, row.want)
			equal(t, "measured", r.Measured.Value, row.want)
			equal(t, "errno", r.Measured.Errno, r.Predicted.Errno)
		})
	}
}

// TestDescriptorLimits: how many a worker has open before is its own affair.
func TestDescriptorLimits(t *testing.T) {
	for name, leg := range map[string]func(uint64) Leg{
		"socket()": untilSocketFails, "accept()": untilAcceptFails, "control": oneDescriptorMore,
	} {
		var before int
		for i, limit := range []uint64{32, 50} {
			r := run(t, noKernel(), oneLeg(leg(limit)))
			judged(t, name, r, Inconclusive, withoutEvidence)
			equal(t, name+": measured", r.Measured.Value, r.Predicted.Value)
			if i > 0 {
				equal(t, name+": more by", r.Measured.Value-before, 18)
			}
			before = r.Measured.Value
		}
	}
}

// TestEveryLeg runs the catalogue where nothing is traced: what user space can
// tell for itself must agree in every leg.
func TestEveryLeg(t *testing.T) {
	newBench(t) // or skip
	for _, e := range All() {
		t.Run(e.Name, func(t *testing.T) {
			k := noKernel()
			r := (&Runner{Kernel: k}).Run(deadline(t), e)
			if r.Verdict == Skipped { // a limit of the whole host
				t.Skip(r.Reason)
			}
			equal(t, "verdict", r.Verdict, Inconclusive)
			for _, leg := range r.Legs {
				if leg.Verdict == Skipped {
					continue
				}
				equal(t, leg.Name, leg.Verdict, Inconclusive)
				equal(t, leg.Name+": reason", leg.Reason, withoutEvidence)
			}
			k.nothingLeft(t)
		})
	}
}

// TestServersEndsAreCounted: a server that holds less than its clients believe
// is seen in the number of endpoints.
func TestServersEndsAreCounted(t *testing.T) {
	b, ctx, to := newBench(t), deadline(t), twoPorts(IPv4)
	noError(t, prepareServers(IPv4, 1, to...)(ctx, b))
	o := lab.ConnectOptions{To: to, From: IPv4.at(1, sourcePort), SocketOptions: reuse}
	m := must(sameSource(ctx, b, o))(t)
	equal(t, "endpoints", m.Endpoints, 4)
	o.From = IPv4.at(1, sourcePort-1)
	equal(t, "endpoints of a second round", must(sameSource(ctx, b, o))(t).Endpoints, 4)
	equal(t, "held by the servers", must(b.accepted(ctx))(t), 4)
}
