package experiments

import (
	"slices"
	"testing"

	"brink/experiments/lab"
)

// TestReachedByAddress: who accepted is looked at, not only that somebody did.
func TestReachedByAddress(t *testing.T) {
	judged(t, "as asked", run(t, noKernel(), oneLeg(perAddress(IPv6, twoAddresses(IPv6)))), Inconclusive, withoutEvidence)
	swapped := twoAddresses(IPv4)
	slices.Reverse(swapped)
	judged(t, "swapped", run(t, noKernel(), oneLeg(perAddress(IPv4, swapped))), Refuted,
		"measured: the listener of 127.0.0.2:6001 has [{127.0.0.2:6001 127.0.0.1:6000}], not one connection from 127.0.0.1:6000 to 127.0.0.1:6001")
}

// TestWildcardGivesWay: the listener on the wildcard gets what the other one did
// not name; the other way round it does not.
func TestWildcardGivesWay(t *testing.T) {
	o := lab.SocketOptions{ReusePort: true}
	judged(t, "beside", run(t, noKernel(), oneLeg(besideWildcard("beside", IPv4, "0.0.0.0", o))), Inconclusive, withoutEvidence)
	alone := besideWildcard("only two", IPv4, "127.0.0.3", o)
	judged(t, "no wildcard", run(t, noKernel(), oneLeg(alone)), Refuted, "predicted 2 connections, measured 1 (ECONNREFUSED)")
}

// TestWildcardFamilies: a wildcard of IPv6 alone is no listener for IPv4.
func TestWildcardFamilies(t *testing.T) {
	both := wildcard("both", "::", false, reuse, IPv4, IPv6)
	judged(t, "both", run(t, noKernel(), oneLeg(both)), Inconclusive, withoutEvidence)
	alone := wildcard("v6only", "::", true, reuse, IPv4, IPv6)
	judged(t, "v6only", run(t, noKernel(), oneLeg(alone)), Refuted, "predicted 4 connections, measured 2 (ECONNREFUSED)")
}
