package limits

import (
	"fmt"
	"strconv"
	"strings"
)

// PortRange is what the kernel chooses local ports from in one network
// namespace: net.ipv4.ip_local_port_range, both ends inclusive, for IPv6 too,
// without net.ipv4.ip_local_reserved_ports.
//
// connect() tries one parity first, then the other, over an even number of
// ports (__inet_hash_connect: remaining &= ~1). Of an odd number each search
// leaves one out, not always the same; Size counts it all the same.
type PortRange struct {
	Low, High uint16
	Reserved  PortSet
}

// ParsePortRange reads the two sysctls as /proc/sys shows them: "32768 60999"
// and "8080,9000-9010", which may be empty.
func ParsePortRange(ends, reserved string) (*PortRange, error) {
	low, high, err := parseEnds(ends)
	if err != nil {
		return nil, fmt.Errorf("parse net.ipv4.ip_local_port_range: %w", err)
	}
	r := &PortRange{Low: low, High: high}
	if err := parsePorts(strings.TrimSpace(reserved), &r.Reserved); err != nil {
		return nil, fmt.Errorf("parse net.ipv4.ip_local_reserved_ports: %w", err)
	}
	return r, nil
}

func parseEnds(s string) (low, high uint16, err error) {
	fields := strings.Fields(s)
	if len(fields) != 2 {
		return 0, 0, fmt.Errorf("%q are not two ports", s)
	}
	if low, err = parsePort(fields[0]); err != nil {
		return 0, 0, err
	}
	if high, err = parsePort(fields[1]); err != nil {
		return 0, 0, err
	}
	if low > high {
		return 0, 0, fmt.Errorf("%d is above %d", low, high)
	}
	return low, high, nil
}

// parsePorts reads a bitmap as proc_do_large_bitmap writes it.
func parsePorts(s string, into *PortSet) error {
	if s == "" {
		return nil
	}
	for item := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(item, "-")
		low, err := parsePort(first)
		if err != nil {
			return err
		}
		high := low
		if isRange {
			if high, err = parsePort(last); err != nil {
				return err
			}
		}
		for port := int(low); port <= int(high); port++ {
			into.Add(uint16(port))
		}
	}
	return nil
}

func parsePort(s string) (uint16, error) {
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no port", s)
	}
	return uint16(port), nil
}

// Contains reports whether the kernel may choose the port.
func (r *PortRange) Contains(port uint16) bool {
	return port >= r.Low && port <= r.High && !r.Reserved.Has(port)
}

// Size is how many ports the kernel may choose from.
func (r *PortRange) Size() int {
	n := 0
	for port := int(r.Low); port <= int(r.High); port++ {
		if !r.Reserved.Has(uint16(port)) {
			n++
		}
	}
	return n
}

// Knob is the range with its value, and how many of its ports are reserved.
func (r *PortRange) Knob() string {
	s := fmt.Sprintf("net.ipv4.ip_local_port_range = %d %d", r.Low, r.High)
	if n := int(r.High) - int(r.Low) + 1 - r.Size(); n > 0 {
		s += fmt.Sprintf(", %d of them in net.ipv4.ip_local_reserved_ports", n)
	}
	return s
}
