package experiments

import (
	"net/netip"
	"time"

	"brink/collector/limits"
)

func init() {
	register(Experiment{
		Name: "one-source-many-addresses", Group: Identity, Takes: time.Second,
		Question: "can one (source IP, source port) reach the same port on several destination IPs?",
		Expect:   "every connection stands",
		Limit:    limits.FourTuple,
		Hooks:    []string{"state", "connect", "accept", "port_choice"},
		Legs: func(s Size) []Leg {
			return []Leg{manyAddresses(IPv4, s), manyAddresses(IPv6, s)}
		},
	})
}

func manyAddresses(f Family, s Size) Leg {
	n := 4
	if s.Full {
		n = 200
	}
	to := make([]netip.AddrPort, n)
	for i := range to {
		to[i] = f.at(i+1, firstPort)
	}
	return oneToEach(f, n, to)
}
