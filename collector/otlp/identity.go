package otlp

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
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
// The numbers are hashed in ascending order rather than the client's first, so
// that a simultaneous open, where both ends are clients, and an end of unknown
// role join too. 63 bits of entropy remain: among a thousand million
// connections the odds that any two share a trace are about one in twenty.
//
// An end that never established has nothing in common with its peer; its
// identity comes from its own tuple and times, and from a secret of this
// process, so that every sink of the process gives it the same one.
func Identity(c *collector.Connection) (id trace.TraceID, span, parent trace.SpanID) {
	if c.InitialLocal == 0 && c.InitialPeer == 0 {
		return unsharedIdentity(c)
	}
	id, lower, upper := sharedIdentity(c.InitialLocal, c.InitialPeer)
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

// sharedIdentity hashes the two sequence numbers into the trace ID and the span
// IDs of the end with the lower and of the end with the upper one.
//
// SHA-256 because the result has to be uniform in every bit (ratio sampling
// looks at some of them) and the same in every version of brink on every host.
func sharedIdentity(a, b uint32) (id trace.TraceID, lower, upper trace.SpanID) {
	const label = "brink tcp connection"
	var seed [len(label) + 8]byte
	copy(seed[:], label)
	binary.BigEndian.PutUint32(seed[len(label):], min(a, b))
	binary.BigEndian.PutUint32(seed[len(label)+4:], max(a, b))
	return cutIdentity(sha256.Sum256(seed[:]))
}

// processSecret keeps apart the unshared identities of two hosts that happen to
// use the same private addresses at the same nanosecond.
var processSecret = newSecret()

func newSecret() (secret [16]byte) {
	rand.Read(secret[:]) // never fails (since Go 1.24)
	return secret
}

func unsharedIdentity(c *collector.Connection) (id trace.TraceID, span, parent trace.SpanID) {
	seed := make([]byte, 0, 128)
	seed = append(seed, processSecret[:]...)
	seed = binary.BigEndian.AppendUint64(seed, uint64(c.Start.UnixNano()))
	seed = binary.BigEndian.AppendUint64(seed, uint64(c.End.UnixNano()))
	seed = appendAddress(seed, c.Local)
	seed = appendAddress(seed, c.Peer)
	seed = binary.BigEndian.AppendUint32(seed, c.Netns)
	seed = binary.BigEndian.AppendUint32(seed, c.Owner.PID)
	seed = append(seed, byte(c.Role))
	id, span, _ = cutIdentity(sha256.Sum256(seed))
	return id, span, trace.SpanID{}
}

func appendAddress(b []byte, a netip.AddrPort) []byte {
	address := a.Addr().As16() // all zero for an unknown one
	b = append(b, address[:]...)
	return binary.BigEndian.AppendUint16(b, a.Port())
}

// cutIdentity takes three ids out of one hash. OpenTelemetry calls an id of
// zeros invalid, so a hash that has one there gets a one.
func cutIdentity(hash [sha256.Size]byte) (id trace.TraceID, first, second trace.SpanID) {
	copy(id[:], hash[:16])
	copy(first[:], hash[16:24])
	copy(second[:], hash[24:])
	if !id.IsValid() {
		id[len(id)-1] = 1
	}
	if !first.IsValid() {
		first[len(first)-1] = 1
	}
	if !second.IsValid() {
		second[len(second)-1] = 2
	}
	return id, first, second
}
