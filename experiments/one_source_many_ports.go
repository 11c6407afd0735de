package experiments

import (
	"net/netip"
	"time"

	"brink/collector/limits"
)

func init() {
	register(Experiment{
		Name: "one-source-many-ports", Group: Identity, Takes: time.Second,
		Question: "can one (source IP, source port) reach several ports of one destination IP?",
		Expect:   "every connection stands; each server sees the same client ip:port",
		Limit:    limits.FourTuple,
		Hooks:    []string{"state", "connect", "accept", "port_choice"},
		Legs: func(s Size) []Leg {
			return []Leg{manyPorts(IPv4, s), manyPorts(IPv6, s)}
		},
	})
}

func manyPorts(f Family, s Size) Leg {
	n := 4
	if s.Full {
		n = 1000
	}
	to := make([]netip.AddrPort, n)
	for i := range to {
		to[i] = f.at(1, firstPort+uint16(i))
	}
	return oneToEach(f, 1, to)
}
