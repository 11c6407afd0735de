package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"brink/collector/limits"
)

func init() {
	register(Experiment{
		Name: "ephemeral-ports", Group: Ports, Takes: 2 * time.Second,
		Question: "how many connections from one address to one destination?",
		Expect:   "the range's size minus reserved ports; then EADDRNOTAVAIL",
		Limit:    limits.EphemeralPorts,
		Hooks:    []string{"state", "connect", "accept", "port_choice"},
		Legs: func(s Size) []Leg {
			if s.Full {
				return []Leg{exhaustPorts(IPv4, hostRange)}
			}
			return []Leg{
				exhaustPorts(IPv4, smallRange), exhaustPorts(IPv6, smallRange),
				twoDestinations(IPv4), reservedPorts(IPv4),
			}
		},
	})
}

// A portRange is what the two sysctls of a lab are set to.
type portRange struct{ low, high, reserved string }

func (r portRange) apply(ctx context.Context, b *Bench) error {
	return b.set(ctx, "net.ipv4.ip_local_port_range", r.low+" "+r.high, "net.ipv4.ip_local_reserved_ports", r.reserved)
}

func smallRange() (portRange, error) { return portRange{low: "40000", high: "40199"}, nil }

// hostRange copies the settings of the namespace that brink runs in, without
// the last port where their number is odd.
func hostRange() (portRange, error) {
	limits, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return portRange{}, err
	}
	low, high, err := parseRange(string(limits))
	if err != nil {
		return portRange{}, err
	}
	reserved, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_reserved_ports")
	return portRange{
		low: strconv.Itoa(low), high: strconv.Itoa(evenEnd(low, high)), reserved: strings.TrimSpace(string(reserved)),
	}, err
}

func parseRange(limits string) (low, high int, err error) {
	if _, err := fmt.Sscan(limits, &low, &high); err != nil {
		return 0, 0, fmt.Errorf("ip_local_port_range is %q: %w", limits, err)
	}
	return low, high, nil
}

// evenEnd ends a range so that it has an even number of ports. connect() tries
// an even number of them, one less in an odd range (__inet_hash_connect:
// remaining &= ~1), and where it begins decides which one it passes over: it may
// give EADDRNOTAVAIL with one port left, or not.
func evenEnd(low, high int) int {
	if ports := high - low + 1; ports > 1 && ports%2 == 1 {
		return high - 1
	}
	return high
}

// exhaustPorts pushes one address against one destination until no port is left.
func exhaustPorts(f Family, settings func() (portRange, error)) Leg {
	to := f.at(1, firstPort)
	return Leg{
		Name: f.String(),
		Prepare: func(ctx context.Context, b *Bench) error {
			r, err := settings()
			if err != nil {
				return err
			}
			if err := b.addAddresses(ctx, f, 1); err != nil {
				return err
			}
			if err := r.apply(ctx, b); err != nil {
				return err
			}
			return b.serveMany(ctx, to, 1<<16)
		},
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			return b.predictPorts(ctx, 1, syscall.EADDRNOTAVAIL)
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return b.pushMany(ctx, []netip.AddrPort{to}, 0)
		},
	}
}

// twoDestinations is the control: the same load, with the limit out of the way.
func twoDestinations(f Family) Leg {
	to := twoPorts(f)
	return Leg{
		Name: "two destinations",
		Prepare: func(ctx context.Context, b *Bench) error {
			if err := b.set(ctx, "net.ipv4.ip_local_port_range", "40000 40199"); err != nil {
				return err
			}
			return prepareServers(f, 1, to...)(ctx, b)
		},
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) { return b.predictPorts(ctx, 2, 0) },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			p, err := b.predictPorts(ctx, 2, 0)
			if err != nil {
				return Measurement{}, err
			}
			return b.pushMany(ctx, to, p.Value)
		},
	}
}

// reservedPorts shows that ip_local_reserved_ports subtracts.
func reservedPorts(f Family) Leg {
	leg := exhaustPorts(f, func() (portRange, error) {
		return portRange{low: "40000", high: "40099", reserved: "40010-40019,40050,50000"}, nil
	})
	leg.Name = "reserved ports"
	return leg
}

// predictPorts computes from the lab's own settings what one address gets to
// each of the destinations. It is exact for ranges as evenEnd makes them.
func (b *Bench) predictPorts(ctx context.Context, destinations int, end syscall.Errno) (Prediction, error) {
	limits, err := b.Lab.Sysctl(ctx, "net.ipv4.ip_local_port_range")
	if err != nil {
		return Prediction{}, err
	}
	low, high, err := parseRange(limits)
	if err != nil {
		return Prediction{}, err
	}
	list, err := b.Lab.Sysctl(ctx, "net.ipv4.ip_local_reserved_ports")
	if err != nil {
		return Prediction{}, err
	}
	reserved, err := reservedWithin(list, low, high)
	p := Prediction{
		Value: (high - low + 1 - reserved) * destinations, Unit: "connections",
		Formula: "high - low + 1 - reserved",
		Inputs:  []Input{{"low", low}, {"high", high}, {"reserved", reserved}}, Errno: end,
	}
	if destinations > 1 {
		p.Formula = "destinations × (high - low + 1 - reserved)"
		p.Inputs = append(p.Inputs, Input{"destinations", destinations})
	}
	return p, err
}

// reservedWithin counts the ports of a list such as "8080,9000-9010" that lie
// within low and high. The kernel keeps the list as a bitmap, so it is free of
// overlaps when read back (proc_do_large_bitmap).
func reservedWithin(list string, low, high int) (n int, err error) {
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		if part == "" {
			continue
		}
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.Atoi(first)
		if err != nil {
			return 0, fmt.Errorf("ip_local_reserved_ports has %q: %w", part, err)
		}
		to, err := strconv.Atoi(last)
		if err != nil {
			return 0, fmt.Errorf("ip_local_reserved_ports has %q: %w", part, err)
		}
		n += max(0, min(to, high)-max(from, low)+1)
	}
	return n, nil
}
