package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"brink/collector/limits"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "one-listener-many", Group: Identity, Takes: 2 * time.Second,
		Question: "how many established sockets on one listening port?",
		Expect:   "one socket, one descriptor and one inode each, all on the same local port",
		Limit:    limits.FileDescriptors,
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
			if err != nil {
				return err
			}
			inodes, err := socketInodes(b.Server.PID())
			b.note("open before", int(d.Open))
			b.note("free", int(d.Free()))
			b.note("inodes before", inodes)
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
// their addresses, its descriptors, and the inodes behind these.
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
	inodes, err := socketInodes(b.Server.PID())
	if err != nil {
		return Measurement{}, err
	}
	m := Measurement{Value: accepted.Open, Errno: r.Errno, Refusals: r.Attempts - r.Opened, Endpoints: r.Opened + accepted.Open}
	m.Problem = checkConnections(accepted, at)
	if opened := int(d.Open) - b.Notes["open before"]; opened != accepted.Open {
		m.Problem = fmt.Sprintf("%d sockets took %d descriptors", accepted.Open, opened)
	}
	if added := inodes - b.Notes["inodes before"]; added != accepted.Open {
		m.Problem = fmt.Sprintf("%d sockets have %d inodes", accepted.Open, added)
	}
	return m, nil
}

// checkConnections wants every socket on the one port, each with a peer of its own.
func checkConnections(a lab.Accepted, at netip.AddrPort) string {
	peers := map[netip.AddrPort]bool{}
	for _, c := range a.Connections {
		peers[c.Peer] = true
		if c.Local != at {
			return fmt.Sprintf("a socket of %s is on %s", at, c.Local)
		}
	}
	if len(peers) != a.Open {
		return fmt.Sprintf("%d sockets have %d different peers", a.Open, len(peers))
	}
	return ""
}

// socketInodes counts the different sockets behind a process' descriptors:
// /proc/PID/fd/N is a link to socket:[inode].
func socketInodes(pid int) (int, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	descriptors, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("count the inodes of worker %d: %w", pid, err)
	}
	inodes := map[string]bool{}
	for _, d := range descriptors {
		to, err := os.Readlink(filepath.Join(dir, d.Name()))
		if err == nil && strings.HasPrefix(to, "socket:") { // a descriptor may have been closed meanwhile
			inodes[to] = true
		}
	}
	return len(inodes), nil
}
