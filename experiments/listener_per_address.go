package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"brink/collector/limits"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "listener-per-address", Group: Identity, Takes: time.Second,
		Question: "can two listeners have one port on two addresses, and one (source IP, source port) reach both?",
		Expect:   "both connections stand, each with the listener whose address it named",
		Limit:    limits.FourTuple,
		Hooks:    []string{"state", "connect", "accept", "port_choice", "bind"},
		Legs: func(Size) []Leg {
			shared := lab.SocketOptions{ReuseAddr: true, ReusePort: true}
			return []Leg{
				perAddress(IPv4, twoAddresses(IPv4)), perAddress(IPv6, twoAddresses(IPv6)),
				besideWildcard("IPv4, one on the wildcard", IPv4, "0.0.0.0", shared),
				besideWildcard("IPv6, one on the wildcard", IPv6, "::", shared),
				perAddressWithoutReuse(IPv4), perAddressWithoutReuse(IPv6),
				sourcePerAddress(IPv4), sourcePerAddress(IPv6),
			}
		},
	})
}

// perAddress is a leg: each listener is in a process of its own, so that who
// accepted proves who was reached. The listeners need no option: their addresses
// differ.
func perAddress(f Family, listeners []netip.AddrPort) Leg {
	return Leg{
		Name:    f.String(),
		Prepare: prepareProcesses(f, lab.SocketOptions{}, listeners...),
		Predict: allStand(2),
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			from := f.at(1, sourcePort)
			m, err := sameSource(ctx, b, lab.ConnectOptions{To: twoAddresses(f), From: from, SocketOptions: reuse})
			if err != nil || m.Problem != "" || m.Errno != 0 {
				return m, err
			}
			m.Problem, err = b.checkReached(ctx, twoAddresses(f), from, from)
			return m, err
		},
	}
}

// besideWildcard: of two listeners that both fit, the one that named the address
// is reached (compute_score, net/ipv4/inet_hashtables.c). They listen together
// by SO_REUSEPORT alone.
func besideWildcard(name string, f Family, address string, o lab.SocketOptions) Leg {
	listeners := []netip.AddrPort{f.at(1, firstPort), netip.AddrPortFrom(netip.MustParseAddr(address), firstPort)}
	leg := perAddress(f, listeners)
	leg.Name, leg.Prepare = name, prepareProcesses(f, o, listeners...)
	return leg
}

// perAddressWithoutReuse: two destinations do not make up for SO_REUSEADDR.
func perAddressWithoutReuse(f Family) Leg {
	leg := perAddress(f, twoAddresses(f))
	leg.Name, leg.Limit = f.String()+" without SO_REUSEADDR", limits.BindConflict
	leg.Predict, leg.Inspect = oneBind, holderNamed(f.at(1, sourcePort))
	leg.Push = func(ctx context.Context, b *Bench) (Measurement, error) {
		return sameSource(ctx, b, lab.ConnectOptions{To: twoAddresses(f), From: f.at(1, sourcePort)})
	}
	return leg
}

// sourcePerAddress: connectors that share the port alone need no option.
func sourcePerAddress(f Family) Leg {
	leg := perAddress(f, twoAddresses(f))
	leg.Name = f.String() + ", two source addresses, without SO_REUSEADDR"
	leg.Push = func(ctx context.Context, b *Bench) (m Measurement, err error) {
		for i, to := range twoAddresses(f) {
			one, err := sameSource(ctx, b, lab.ConnectOptions{To: []netip.AddrPort{to}, From: f.at(i+1, sourcePort)})
			if m = m.plus(one); err != nil || m.Problem != "" || m.Errno != 0 {
				return m, err
			}
		}
		m.Problem, err = b.checkReached(ctx, twoAddresses(f), f.at(1, sourcePort), f.at(2, sourcePort))
		return m, err
	}
	return leg
}

// oneBind predicts that the second of two binds to one (address, port) fails:
// inet_csk_bind_conflict.
func oneBind(context.Context, *Bench) (Prediction, error) {
	return Prediction{
		Value: 1, Unit: "connections", Formula: "one bind per (address, port) without SO_REUSEADDR",
		Inputs: []Input{{"binds", 2}, {"SO_REUSEADDR", false}}, Errno: syscall.EADDRINUSE,
	}, nil
}

// prepareProcesses starts a client, and for each address a server of its own.
func prepareProcesses(f Family, o lab.SocketOptions, listeners ...netip.AddrPort) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) (err error) {
		if err := b.addAddresses(ctx, f, len(listeners)); err != nil {
			return err
		}
		for _, at := range listeners {
			server, err := b.worker(ctx, lab.WorkerOptions{})
			if err != nil {
				return err
			}
			s, err := server.Listen(ctx, lab.ListenOptions{Addr: at, Accept: true, Greet: true, SocketOptions: o})
			if err != nil {
				return err
			}
			b.servers = append(b.servers, serving{server, s})
		}
		b.Client, err = b.worker(ctx, lab.WorkerOptions{})
		return err
	}
}

// checkReached wants the i-th server to have accepted one connection, to the i-th
// address and from the i-th source.
func (b *Bench) checkReached(ctx context.Context, to []netip.AddrPort, from ...netip.AddrPort) (problem string, err error) {
	for i, s := range b.servers {
		a, err := s.worker.Accepted(ctx, s.listener.Handle, true)
		if err != nil {
			return "", err
		}
		want := lab.Connection{Local: to[i], Peer: from[i]}
		if len(a.Connections) != 1 || a.Connections[0] != want {
			return fmt.Sprintf("the listener of %s has %v, not one connection from %s to %s", s.listener.Addr, a.Connections, from[i], to[i]), nil
		}
	}
	return "", nil
}
