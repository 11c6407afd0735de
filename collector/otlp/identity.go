package otlp

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"

	"brink/collector"

	"go.opentelemetry.io/otel/trace"
)

// Identity gives a connection's trace ID, its span ID and, for the server's
// end, the span ID of the client's end (zero otherwise). Both ends of one
// connection derive the same three from what they know by themselves.
//
// That is the two initial sequence numbers and nothing else. Addresses and
// ports do not survive NAT: source NAT changes what the server sees of the
// client, destination NAT what the client sees of the server. netfilter leaves
// the sequence numbers alone. What ends a TCP connection and begins another (a
// SYN proxy, a load balancer of layer 7) or randomizes sequence numbers (some
// firewalls do) makes two traces of it, and rightly so for the former.
//
// The numbers are taken in ascending order rather than the client's first, so
// that a simultaneous open, where both ends are clients, and an end of unknown
// role join too. 63 bits of entropy remain: among a thousand million
// connections the odds that any two share a trace are about one in twenty.
//
// An end that never established has nothing in common with its peer; its
// identity comes from its own tuple and times, and from a secret of this
// process, so that every sink of the process gives it the same one.
func Identity(c *collector.Connection) (id trace.TraceID, span, parent trace.SpanID) {
	if c.InitialLocal == 0 && c.InitialPeer == 0 {
		id, span = unsharedIdentity(event{
			start: c.Start.UnixNano(), end: c.End.UnixNano(),
			local: c.Local, peer: c.Peer, netns: c.Netns, pid: c.Owner.PID, what: uint64(c.Role),
		})
		return id, span, trace.SpanID{}
	}
	id, lower, upper := identityOf(join(c.InitialLocal, c.InitialPeer))
	span, other := lower, upper
	if c.InitialLocal > c.InitialPeer || isTiedServer(c) {
		span, other = upper, lower
	}
	if c.Role == collector.RoleServer {
		parent = other
	}
	return id, span, parent
}

// isTiedServer settles which span ID is whose when both ends chose the same
// number, once in 2^32 connections.
func isTiedServer(c *collector.Connection) bool {
	return c.InitialLocal == c.InitialPeer && c.Role == collector.RoleServer
}

// join makes one number of both, whichever end asks.
func join(a, b uint32) uint64 { return uint64(min(a, b))<<32 | uint64(max(a, b)) }

// Mixed is the last eight bytes of a connection's trace ID, big-endian, from its
// two initial sequence numbers in any order. A connection is in a sample if
// Mixed>>1 < Bound(ratio), as the specification of TraceIDRatioBased wants it:
// every host decides alike. It is a dozen instructions on 64-bit integers: the
// kernel programs decide by it too (sampled, in bpf/tally.h).
func Mixed(a, b uint32) uint64 { return mix(join(a, b) + increment) }

// increment and mix are SplitMix64 (Steele, Lea, Flood: Fast Splittable
// Pseudorandom Number Generators, 2014). No two numbers mix to the same one, and
// a bit of x that changes changes each bit of the result with even odds.
const increment = 0x9e3779b97f4a7c15

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// identityOf is the trace ID of a number, and the span IDs of the end with the
// lower and of the end with the upper sequence number: the first four numbers
// that SplitMix64 makes of it. OpenTelemetry calls an id of zeros invalid. A
// trace ID has none (one number at most mixes to 0, and its halves are of two);
// a span ID that would be gets a one.
func identityOf(x uint64) (id trace.TraceID, lower, upper trace.SpanID) {
	next := func() uint64 {
		x += increment
		return mix(x)
	}
	binary.BigEndian.PutUint64(id[8:], next())
	binary.BigEndian.PutUint64(id[:8], next())
	binary.BigEndian.PutUint64(lower[:], max(1, next()))
	binary.BigEndian.PutUint64(upper[:], max(1, next()))
	return id, lower, upper
}

// sampleKey is Mixed of a trace ID that is known already.
func sampleKey(id trace.TraceID) uint64 { return binary.BigEndian.Uint64(id[8:]) }

// event is what tells one happening from another on this host.
type event struct {
	start, end  int64 // ns since 1970
	local, peer netip.AddrPort
	netns, pid  uint32
	what        uint64
	count       uint64
}

// processSecret keeps apart the unshared identities of two hosts that happen to
// use the same private addresses at the same nanosecond.
var processSecret = maphash.MakeSeed()

func unsharedIdentity(e event) (trace.TraceID, trace.SpanID) {
	id, span, _ := identityOf(maphash.Comparable(processSecret, e))
	return id, span
}
