package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"brink/collector/limits"
	"brink/collector/memory"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "without-reuseaddr", Group: Identity, Takes: time.Second,
		Question: "can one (source IP, source port) reach several destinations without SO_REUSEADDR on the connector?",
		Expect:   "the second bind fails, EADDRINUSE, and the holder is named",
		Limit:    limits.BindConflict,
		Hooks:    []string{"state", "accept", "bind"},
		Legs: func(Size) []Leg {
			with := oneToEach(IPv4, 1, twoPorts(IPv4))
			with.Name = "with SO_REUSEADDR"
			return []Leg{withoutReuse(IPv4), withoutReuse(IPv6), with}
		},
	})
}

func twoPorts(f Family) []netip.AddrPort {
	return []netip.AddrPort{f.at(1, firstPort), f.at(1, firstPort+1)}
}

func withoutReuse(f Family) Leg {
	to := twoPorts(f)
	return Leg{
		Name:    f.String(),
		Prepare: prepareServers(f, 1, to...),
		Predict: func(context.Context, *Bench) (Prediction, error) {
			return Prediction{
				Value: 1, Unit: "connections", Formula: "one bind per (address, port) without SO_REUSEADDR",
				Inputs: []Input{{"binds", 2}, {"SO_REUSEADDR", false}}, Errno: syscall.EADDRINUSE,
			}, nil
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return sameSource(ctx, b, lab.ConnectOptions{To: to, From: f.at(1, sourcePort)})
		},
		Inspect: holderNamed(f.at(1, sourcePort)),
	}
}

// holderNamed wants the kernel's evidence to name the client's first socket, in
// the client's process, as the one in the way.
func holderNamed(at netip.AddrPort) func(*Bench, Measurement, memory.Evidence) string {
	return func(b *Bench, _ Measurement, e memory.Evidence) string {
		if len(e.Conflicts) != 1 {
			return fmt.Sprintf("the kernel told of %d bind conflicts, not of 1", len(e.Conflicts))
		}
		c := e.Conflicts[0]
		for _, h := range c.Holders {
			if h.PID == uint32(b.Client.PID()) && h.Local == at && c.Local == at && c.Owner.PID == h.PID {
				return ""
			}
		}
		return fmt.Sprintf("the holder of %s is process %d; named were %v", at, b.Client.PID(), c.Holders)
	}
}
