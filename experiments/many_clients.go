package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"brink/collector/limits"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "many-clients", Group: Ports, Takes: 2 * time.Second,
		Question: "how many connections from several client addresses to one listening port?",
		Expect:   "clients × ports: the port that they share at the server sets no bound",
		Limit:    limits.EphemeralPorts,
		Hooks:    []string{"state", "connect", "accept", "port_choice"},
		Legs: func(s Size) []Leg {
			if s.Full {
				return []Leg{manyClients(IPv4, 3, hostRange)}
			}
			return []Leg{
				manyClients(IPv4, 5, hundredPorts), manyClients(IPv6, 5, hundredPorts),
				oneClient(IPv4, hundredPorts), noMoreThanPredicted(IPv4, 5, hundredPorts),
			}
		},
	})
}

func hundredPorts() (portRange, error) { return portRange{low: "40000", high: "40099"}, nil }

// manyClients goes on at each client address until it has no port left.
func manyClients(f Family, clients int, settings func() (portRange, error)) Leg {
	to := []netip.AddrPort{f.at(1, firstPort)}
	prepare := prepareSources(f, 1+clients, clients, to, settings)
	return Leg{
		Name: f.String(),
		Prepare: func(ctx context.Context, b *Bench) error {
			if err := prepare(ctx, b); err != nil {
				return err
			}
			return b.filesSuffice(ctx, clients)
		},
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			return b.predictClients(ctx, clients, syscall.EADDRNOTAVAIL)
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return b.pushSources(ctx, f, clients, lab.ConnectOptions{To: to, SocketOptions: noPort}, 0)
		},
	}
}

// oneClient shows that the number of addresses is what counts.
func oneClient(f Family, settings func() (portRange, error)) Leg {
	leg := manyClients(f, 1, settings)
	leg.Name = "one client address"
	return leg
}

// noMoreThanPredicted is the control: each client stops at its last port.
func noMoreThanPredicted(f Family, clients int, settings func() (portRange, error)) Leg {
	leg := manyClients(f, clients, settings)
	leg.Name = "and not one more"
	leg.Predict = func(ctx context.Context, b *Bench) (Prediction, error) { return b.predictClients(ctx, clients, 0) }
	leg.Push = func(ctx context.Context, b *Bench) (Measurement, error) {
		p, err := b.predictClients(ctx, clients, 0)
		if err != nil {
			return Measurement{}, err
		}
		o := lab.ConnectOptions{To: []netip.AddrPort{f.at(1, firstPort)}, SocketOptions: noPort}
		return b.pushSources(ctx, f, clients, o, p.Value/clients)
	}
	return leg
}

func (b *Bench) predictClients(ctx context.Context, clients int, end syscall.Errno) (Prediction, error) {
	p, err := b.predictPorts(ctx, 1, end)
	p.Value *= clients
	p.Formula = "clients × (high - low + 1 - reserved)"
	p.Inputs = append(p.Inputs, Input{"clients", clients})
	return p, err
}

// filesSuffice leaves a leg out that would meet the host's own limit first: each
// connection has a file at both ends. The workers share what one may not open.
func (b *Bench) filesSuffice(ctx context.Context, clients int) error {
	p, err := b.predictClients(ctx, clients, 0)
	if err != nil {
		return err
	}
	content, err := os.ReadFile("/proc/sys/fs/file-nr")
	if err != nil {
		return err
	}
	return suffice(string(content), 2*p.Value)
}

// suffice wants so many files of the host's, and leaves it as many again.
func suffice(fileNr string, wanted int) error {
	var open, unused, most int
	if _, err := fmt.Sscan(fileNr, &open, &unused, &most); err != nil {
		return fmt.Errorf("fs.file-nr is %q: %w", fileNr, err)
	}
	if free := most - open; free/2 < wanted {
		return skipf("both ends take %d files, and the whole host has %d left (fs.file-max)", wanted, free)
	}
	return nil
}
