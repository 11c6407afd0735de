package experiments

import (
	"context"
	"net/netip"
	"syscall"
	"time"

	"brink/collector/limits"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "many-destinations", Group: Ports, Takes: 2 * time.Second,
		Question: "how many connections from one client address to several destinations?",
		Expect:   "destinations × ports: each port serves once for every destination, and another port or address is another one",
		Limit:    limits.EphemeralPorts,
		Hooks:    []string{"state", "connect", "accept", "port_choice"},
		Legs: func(s Size) []Leg {
			if s.Full {
				return []Leg{manyDestinations("IPv4, ports", IPv4, portsOf(IPv4, 3), hostRange)}
			}
			return []Leg{
				manyDestinations("IPv4, ports", IPv4, portsOf(IPv4, 5), hundredPorts),
				manyDestinations("IPv4, addresses", IPv4, addressesOf(IPv4, 5), hundredPorts),
				manyDestinations("IPv6, ports", IPv6, portsOf(IPv6, 5), hundredPorts),
				manyDestinations("IPv6, addresses", IPv6, addressesOf(IPv6, 5), hundredPorts),
				manyDestinations("one destination", IPv4, portsOf(IPv4, 1), hundredPorts),
				allDestinationsFilled(IPv4, 5),
			}
		},
	})
}

// portsOf are n destinations that differ by their port.
func portsOf(f Family, n int) (to []netip.AddrPort) {
	for i := range n {
		to = append(to, f.at(1, firstPort+uint16(i)))
	}
	return to
}

// addressesOf are n destinations that differ by their address.
func addressesOf(f Family, n int) (to []netip.AddrPort) {
	for i := range n {
		to = append(to, f.at(1+i, firstPort))
	}
	return to
}

// manyDestinations connects to them in turn, from one address that is theirs
// nowhere. The first refusal comes when every one of them has all ports: each has
// had as many connections as the others.
func manyDestinations(name string, f Family, to []netip.AddrPort, settings func() (portRange, error)) Leg {
	return Leg{
		Name:    name,
		Prepare: prepareSources(f, len(to)+1, 1, to, settings),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			return b.predictPorts(ctx, len(to), syscall.EADDRNOTAVAIL)
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return b.pushAs(ctx, fromBeside(f, to), 0)
		},
	}
}

// fromBeside connects from the address after the destinations' own: left alone,
// an IPv6 socket would take the destination's as its own.
func fromBeside(f Family, to []netip.AddrPort) lab.ConnectOptions {
	return lab.ConnectOptions{To: to, From: f.at(len(to)+1, 0), SocketOptions: noPort}
}

// allDestinationsFilled is the control: it stops at the last port of all.
func allDestinationsFilled(f Family, destinations int) Leg {
	to := portsOf(f, destinations)
	leg := manyDestinations("and not one more", f, to, hundredPorts)
	leg.Predict = func(ctx context.Context, b *Bench) (Prediction, error) { return b.predictPorts(ctx, len(to), 0) }
	leg.Push = func(ctx context.Context, b *Bench) (Measurement, error) {
		p, err := b.predictPorts(ctx, len(to), 0)
		if err != nil {
			return Measurement{}, err
		}
		return b.pushAs(ctx, fromBeside(f, to), p.Value)
	}
	return leg
}
