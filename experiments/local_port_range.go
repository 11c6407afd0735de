package experiments

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"time"

	"brink/collector/limits"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "local-port-range", Group: Ports, Takes: 2 * time.Second,
		Question: "how many connections when the socket has a port range of its own (IP_LOCAL_PORT_RANGE)?",
		Expect:   "the size of the socket's own range, where it lies within the namespace's; then EADDRNOTAVAIL",
		Limit:    limits.EphemeralPorts,
		Hooks:    []string{"state", "connect", "accept", "bind", "port_choice"},
		Legs: func(Size) []Leg {
			return []Leg{
				ownRange(IPv4, "", ownPorts), ownRange(IPv6, "", ownPorts),
				boundInOwnRange(IPv4), boundInOwnRange(IPv6),
				ownRange(IPv4, "low end outside", [2]uint16{39000, 40029}),
				ownRange(IPv4, "high end outside", [2]uint16{40170, 41000}),
				ownRange(IPv4, "low end only", [2]uint16{40150, 0}),
				ownRange(IPv4, "all of it outside", [2]uint16{50000, 50009}),
				twoOwnRanges(IPv4),
				withoutOwnRange(IPv4),
			}
		},
	})
}

// ownPorts lie in the middle of smallRange.
var ownPorts = [2]uint16{40050, 40089}

// ownRange has connect() choose from the socket's own range.
func ownRange(f Family, where string, own [2]uint16) Leg {
	to := f.at(1, firstPort)
	leg := Leg{
		Name:    f.String(),
		Prepare: prepareOwnRange(f, own, to),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			return b.predictOwnRange(ctx, own, syscall.EADDRNOTAVAIL)
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return b.pushAs(ctx, inOwnRange(to, own), 0)
		},
	}
	if where != "" {
		leg.Name += ", " + where
	}
	return leg
}

// boundInOwnRange has bind() choose: inet_csk_find_open_port asks for the
// socket's range as well.
func boundInOwnRange(f Family) Leg {
	to := f.at(1, firstPort)
	leg := ownRange(f, "bound first", ownPorts)
	leg.Predict = func(ctx context.Context, b *Bench) (Prediction, error) {
		return b.predictOwnRange(ctx, ownPorts, syscall.EADDRINUSE)
	}
	leg.Push = func(ctx context.Context, b *Bench) (Measurement, error) {
		o := inOwnRange(to, ownPorts)
		o.From = netip.AddrPortFrom(to.Addr(), 0)
		return b.pushAs(ctx, o, 0)
	}
	return leg
}

// twoOwnRanges: one address and one destination, divided among two programs. The
// second finds its ports free although the first has none left.
func twoOwnRanges(f Family) Leg {
	to := f.at(1, firstPort)
	other := [2]uint16{ownPorts[1] + 1, ownPorts[1] + 60}
	leg := ownRange(f, "two ranges", ownPorts)
	leg.Predict = func(ctx context.Context, b *Bench) (Prediction, error) {
		one, err := b.predictOwnRange(ctx, ownPorts, syscall.EADDRNOTAVAIL)
		if err != nil {
			return one, err
		}
		two, err := b.predictOwnRange(ctx, other, syscall.EADDRNOTAVAIL)
		one.Value += two.Value
		one.Formula = "sum of (high - low + 1 - reserved) of each socket's range within the namespace's"
		for _, input := range two.Inputs[2:] {
			one.Inputs = append(one.Inputs, Input{"second_" + input.Name, input.Value})
		}
		return one, err
	}
	leg.Push = func(ctx context.Context, b *Bench) (Measurement, error) {
		one, err := b.pushAs(ctx, inOwnRange(to, ownPorts), 0)
		if err != nil {
			return one, err
		}
		two, err := b.pushAs(ctx, inOwnRange(to, other), 0)
		return one.plus(two), err
	}
	return leg
}

// withoutOwnRange is the control: the same namespace, and a socket that leaves the
// option alone. Where the kernel has no such option it is left out as well, since
// it says nothing about it.
func withoutOwnRange(f Family) Leg {
	none := [2]uint16{}
	leg := ownRange(f, "without the option", ownPorts)
	leg.Predict = func(ctx context.Context, b *Bench) (Prediction, error) {
		return b.predictPorts(ctx, 1, syscall.EADDRNOTAVAIL)
	}
	leg.Push = func(ctx context.Context, b *Bench) (Measurement, error) {
		return b.pushAs(ctx, inOwnRange(f.at(1, firstPort), none), 0)
	}
	return leg
}

func inOwnRange(to netip.AddrPort, own [2]uint16) lab.ConnectOptions {
	return lab.ConnectOptions{To: []netip.AddrPort{to}, SocketOptions: lab.SocketOptions{LocalPortRange: own}}
}

func prepareOwnRange(f Family, own [2]uint16, to netip.AddrPort) func(context.Context, *Bench) error {
	prepare := prepareSources(f, 1, 1, []netip.AddrPort{to}, smallRange)
	return func(ctx context.Context, b *Bench) (err error) {
		if err := prepare(ctx, b); err != nil {
			return err
		}
		if b.Client, err = b.worker(ctx, lab.WorkerOptions{}); err != nil {
			return err
		}
		return b.ownRangeKnown(ctx, f, own)
	}
}

// ownRangeKnown asks this kernel whether it has the option, by setting it.
func (b *Bench) ownRangeKnown(ctx context.Context, f Family, own [2]uint16) error {
	s, err := b.Client.Bind(ctx, lab.BindOptions{
		Addr: f.at(1, sourcePort), SocketOptions: lab.SocketOptions{LocalPortRange: own},
	})
	if errors.Is(err, syscall.ENOPROTOOPT) {
		return skipf("this kernel has no IP_LOCAL_PORT_RANGE, which came with 6.3 (setsockopt: ENOPROTOOPT)")
	}
	if err != nil {
		return err
	}
	_, err = b.Client.CloseSockets(ctx, s.Sockets(), lab.CloseReset)
	return err
}

// predictOwnRange computes what a socket with its own range gets. It is exact for
// ranges of an even number of ports; since 6.8 connect() looks at each port of an
// own range, before at an even number of them (__inet_hash_connect).
func (b *Bench) predictOwnRange(ctx context.Context, own [2]uint16, end syscall.Errno) (Prediction, error) {
	p, err := b.predictPorts(ctx, 1, end)
	if err != nil {
		return p, err
	}
	list, err := b.Lab.Sysctl(ctx, "net.ipv4.ip_local_reserved_ports")
	if err != nil {
		return p, err
	}
	low, high := within(own, p.Inputs[0].Value.(int), p.Inputs[1].Value.(int))
	reserved, err := reservedWithin(list, low, high)
	p.Value = high - low + 1 - reserved
	p.Formula = "high - low + 1 - reserved, of the socket's range within the namespace's"
	p.Inputs[2] = Input{"own_low", own[0]}
	p.Inputs = append(p.Inputs, Input{"own_high", own[1]}, Input{"reserved", reserved})
	return p, err
}

// within is inet_sk_get_local_port_range: an end of the socket's range counts
// where it lies within the namespace's, and is passed over where it does not. A
// range that lies outside with both ends narrows nothing.
func within(own [2]uint16, low, high int) (int, int) {
	if ownLow := int(own[0]); low <= ownLow && ownLow <= high {
		low = ownLow
	}
	if ownHigh := int(own[1]); low <= ownHigh && ownHigh <= high {
		high = ownHigh
	}
	return low, high
}
