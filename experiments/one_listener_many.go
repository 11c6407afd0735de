package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"brink/collector"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "one-listener-many", Group: Identity, Takes: 2 * time.Second,
		Question: "how many established sockets on one listening port?",
		Expect:   "one socket, one descriptor and one inode each, all on the same local port",
		Limit:    collector.LimitFileDescriptors,
		Hooks:    []string{"state", "connect", "accept", "descriptors"},
		Legs: func(s Size) []Leg {
			n := 500
			if s.Full {
				n = 10_000
			}
			return []Leg{oneListener(IPv4, n), oneListener(IPv6, n)}
		},
	})
}

func oneListener(f Family, n int) Leg {
	at := f.at(1, firstPort)
	return Leg{
		Name: f.String(),
		Prepare: func(ctx context.Context, b *Bench) error {
			if err := prepareServers(f, 1, at)(ctx, b); err != nil {
				return err
			}
			d, err := b.Server.FreeDescriptors(ctx)
			b.note("open before", int(d.Open))
			b.note("free", int(d.Free()))
			return err
		},
		Predict: func(_ context.Context, b *Bench) (Prediction, error) {
			if b.Notes["free"] < n {
				return Prediction{}, skipf("the server may open only %d more descriptors: raise the hard limit of RLIMIT_NOFILE above %d", b.Notes["free"], n)
			}
			return Prediction{
				Value: n, Unit: "sockets", Formula: "connections × 1 socket, 1 descriptor, 1 inode",
				Inputs: []Input{{"connections", n}, {"listening_ports", 1}},
			}, nil
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) { return countSockets(ctx, b, at, n) },
	}
}

// countSockets opens n connections and counts, at the server, its sockets by
// their addresses and its descriptors; sockets each have one inode (sockfs).
func countSockets(ctx context.Context, b *Bench, at netip.AddrPort, n int) (Measurement, error) {
	r, err := b.Client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{at}, Count: n, Greeting: true})
	if err != nil {
		return Measurement{}, err
	}
	accepted, err := b.Server.Accepted(ctx, b.Listeners[0].Handle, true)
	if err != nil {
		return Measurement{}, err
	}
	d, err := b.Server.FreeDescriptors(ctx)
	if err != nil {
		return Measurement{}, err
	}
	m := Measurement{Value: accepted.Open, Errno: r.Errno, Refusals: r.Attempts - r.Opened, Endpoints: r.Opened + accepted.Open}
	if opened := int(d.Open) - b.Notes["open before"]; opened != accepted.Open {
		m.Problem = fmt.Sprintf("%d sockets took %d descriptors", accepted.Open, opened)
	}
	peers := map[netip.AddrPort]bool{}
	for _, c := range accepted.Connections {
		peers[c.Peer] = true
		if c.Local != at {
			m.Problem = fmt.Sprintf("a socket of %s is on %s", at, c.Local)
		}
	}
	if len(peers) != accepted.Open {
		m.Problem = fmt.Sprintf("%d sockets have %d different peers", accepted.Open, len(peers))
	}
	return m, nil
}
