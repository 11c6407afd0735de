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
		Name: "same-tuple-twice", Group: Identity, Takes: 2 * time.Second,
		Question: "can the whole 4-tuple repeat?",
		Expect:   "the second connect fails, EADDRNOTAVAIL; change any one of the four and it stands",
		Limit:    limits.FourTuple,
		Hooks:    []string{"state", "connect", "accept", "port_choice"},
		Legs: func(Size) []Leg {
			return []Leg{
				twice(IPv4), twice(IPv6),
				changed("other source address", 2, sourcePort, 1, firstPort),
				changed("other source port", 1, sourcePort-1, 1, firstPort),
				changed("other destination address", 1, sourcePort, 2, firstPort),
				changed("other destination port", 1, sourcePort, 1, firstPort+1),
			}
		},
	})
}

func twice(f Family) Leg {
	to := f.at(1, firstPort)
	return Leg{
		Name:    f.String(),
		Prepare: prepareServers(f, 1, to),
		Predict: func(context.Context, *Bench) (Prediction, error) {
			return Prediction{
				Value: 1, Unit: "connections", Formula: "one per distinct 4-tuple",
				Inputs: []Input{{"attempts", 2}, {"distinct_tuples", 1}}, Errno: syscall.EADDRNOTAVAIL,
			}, nil
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return sameSource(ctx, b, lab.ConnectOptions{
				To: []netip.AddrPort{to}, Count: 2, From: f.at(1, sourcePort), SocketOptions: reuse,
			})
		},
	}
}

// changed is a control leg: a first connection stands, and a second one that
// differs from it in one of the four stands beside it.
func changed(name string, sourceAddress int, source uint16, address int, port uint16) Leg {
	f := IPv4
	first := f.at(1, firstPort)
	listeners := []netip.AddrPort{first}
	if second := f.at(address, port); second != first {
		listeners = append(listeners, second)
	}
	return Leg{
		Name:    name,
		Prepare: prepareServers(f, 2, listeners...),
		Predict: allStand(2),
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			one, err := sameSource(ctx, b, lab.ConnectOptions{
				To: []netip.AddrPort{first}, From: f.at(1, sourcePort), SocketOptions: reuse,
			})
			if err != nil || one.Problem != "" {
				return one, err
			}
			two, err := sameSource(ctx, b, lab.ConnectOptions{
				To: []netip.AddrPort{f.at(address, port)}, From: f.at(sourceAddress, source), SocketOptions: reuse,
			})
			return one.plus(two), err
		},
	}
}
