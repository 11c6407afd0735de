package experiments

import (
	"context"
	"net/netip"
	"syscall"
	"time"

	"brink/collector/limits"
)

func init() {
	register(Experiment{
		Name: "udp-peers", Group: Multiplex, Takes: 3 * time.Second,
		Question: "how many peers does one UDP socket serve, and may connected UDP sockets share a port?",
		Expect: "all of them by one socket; connected sockets that share the port each get their own peer's datagrams only; " +
			"without the option, or with the range's last port taken, EADDRINUSE",
		Limit: limits.EphemeralPorts,
		Hooks: []string{"state", "udp_port"},
		Legs: func(s Size) []Leg {
			peers := 100
			if s.Full {
				peers = 1000
			}
			return []Leg{
				unconnectedUDP(IPv4, peers), unconnectedUDP(IPv6, peers),
				connectedUDP(IPv4, "SO_REUSEADDR", peers), connectedUDP(IPv6, "SO_REUSEPORT", peers),
				secondUDP(IPv4), secondUDP(IPv6),
				exhaustUDP(IPv4, 1), exhaustUDP(IPv6, 1), exhaustUDP(IPv4, 2),
			}
		},
	})
}

// unconnectedUDP: a UDP socket has no peer, so one serves all.
func unconnectedUDP(f Family, peers int) Leg {
	at := f.at(1, firstPort)
	return Leg{
		Name: "one socket, " + f.String(),
		Prepare: func(ctx context.Context, b *Bench) error {
			if _, err := b.udpPair(ctx, f, peers); err != nil {
				return err
			}
			_, err := openUDP.Run(ctx, b.Server, udpWanted{At: []netip.AddrPort{at}})
			return err
		},
		Predict: func(context.Context, *Bench) (Prediction, error) {
			return Prediction{
				Value: peers, Unit: "peers served", Formula: "peers: an unconnected socket takes datagrams from anybody",
				Inputs: []Input{{"peers", peers}, {"sockets", 1}},
			}, nil
		},
		Push: func(ctx context.Context, b *Bench) (m Measurement, err error) {
			if err := b.askUDP(ctx, at, peers); err != nil {
				return m, err
			}
			heard, err := hearUDP.Run(ctx, b.Client, struct{}{})
			if err != nil {
				return m, err
			}
			m.Value, m.Problem = eachItsOwn(heard, always(at), ownAddress)
			return m, b.noteUDP(at.Port())
		},
		Inspect: udpSocketsAre(1, 0),
	}
}

// connectedUDP: the lookup prefers a socket that is connected to the sender
// (compute_score in net/ipv4/udp.c), whichever option let it share the port.
func connectedUDP(f Family, option string, peers int) Leg {
	at := f.at(1, firstPort)
	var clients []netip.AddrPort
	return Leg{
		Name: "connected sockets by " + option + ", " + f.String(),
		Prepare: func(ctx context.Context, b *Bench) (err error) {
			clients, err = b.udpPair(ctx, f, peers)
			return err
		},
		Predict: func(context.Context, *Bench) (Prediction, error) {
			return Prediction{
				Value: peers, Unit: "peers served", Formula: "connected sockets of one port, each with its own peer",
				Inputs: []Input{{"connected sockets", peers}, {option, true}},
			}, nil
		},
		Push: func(ctx context.Context, b *Bench) (m Measurement, err error) {
			heard, err := b.connectUDP(ctx, at, option, clients)
			if err != nil {
				return m, err
			}
			served, problem := eachItsOwn(heard, peerOf, peerOf)
			if served != peers {
				return Measurement{Value: served, Problem: problem}, nil
			}
			if _, err = sayUDP.Run(ctx, b.Server, udpSaying{}); err != nil {
				return m, err
			}
			if heard, err = hearUDP.Run(ctx, b.Client, struct{}{}); err != nil {
				return m, err
			}
			m.Value, m.Problem = eachItsOwn(heard, always(at), always(at))
			return m, b.noteUDP(at.Port())
		},
		Inspect: udpSocketsAre(peers, peers),
	}
}

// secondUDP: without an option a port is one socket's.
func secondUDP(f Family) Leg {
	at := f.at(1, firstPort)
	return Leg{
		Name: "without the options, " + f.String(), Limit: limits.BindConflict,
		Prepare: func(ctx context.Context, b *Bench) error {
			_, err := b.udpPair(ctx, f, 0)
			return err
		},
		Predict: func(context.Context, *Bench) (Prediction, error) {
			return Prediction{
				Value: 1, Unit: "sockets", Formula: "one bind per (address, port) without SO_REUSEADDR or SO_REUSEPORT",
				Inputs: []Input{{"binds", 2}, {"SO_REUSEADDR", false}, {"SO_REUSEPORT", false}}, Errno: syscall.EADDRINUSE,
			}, nil
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return b.pushUDP(ctx, udpWanted{At: []netip.AddrPort{at}, Repeat: 2}, at.Port())
		},
		Inspect: udpSocketsAre(1, 0),
	}
}

// exhaustUDP has bind() choose ports until there are none. UDP's range is TCP's,
// its ports are its own, and here they are used up per address. With two
// addresses it is the control, which stops at what one of them could not have.
func exhaustUDP(f Family, addresses int) Leg {
	end, name := syscall.EADDRINUSE, "bind(0), "+f.String()
	if addresses > 1 {
		end, name = 0, "bind(0) on two addresses"
	}
	predict := func(ctx context.Context, b *Bench) (Prediction, error) {
		p, err := b.predictPorts(ctx, addresses, end)
		p.Unit = "sockets"
		if addresses > 1 {
			p.Formula = "addresses × (high - low + 1 - reserved)"
			p.Inputs[len(p.Inputs)-1].Name = "addresses"
		}
		return p, err
	}
	return Leg{
		Name: name,
		Prepare: func(ctx context.Context, b *Bench) error {
			if err := b.set(ctx, "net.ipv4.ip_local_port_range", "40000 40059",
				"net.ipv4.ip_local_reserved_ports", "40010-40012"); err != nil {
				return err
			}
			if err := b.addAddresses(ctx, f, addresses); err != nil {
				return err
			}
			_, err := b.udpPair(ctx, f, 0)
			return err
		},
		Predict: predict,
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			p, err := predict(ctx, b)
			if err != nil {
				return Measurement{}, err
			}
			wanted := udpWanted{Repeat: p.Value / addresses}
			for n := range addresses {
				wanted.At = append(wanted.At, f.at(n+1, 0))
			}
			if p.Errno != 0 {
				wanted.Repeat++
			}
			return b.pushUDP(ctx, wanted, 0)
		},
		Inspect: udpSocketsAreMeasured,
	}
}
