package metrics

import (
	"time"

	"brink/bpf"
	"brink/collector"

	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sys/unix"
)

// errorTypes are the values of error.type for what the kernel programs tell
// apart; several of these come with one errno.
var errorTypes = map[collector.Failure]string{
	collector.Refused:               collector.ErrorType(unix.ECONNREFUSED),
	collector.Reset:                 collector.ErrorType(unix.ECONNRESET),
	collector.SYNTimeout:            collector.ErrorType(unix.ETIMEDOUT),
	collector.RetransmissionTimeout: collector.ErrorType(unix.ETIMEDOUT),
	collector.ProbeTimeout:          collector.ErrorType(unix.ETIMEDOUT),
	collector.Unreachable:           collector.ErrorType(unix.EHOSTUNREACH),
	collector.NoPort:                collector.ErrorType(unix.EADDRNOTAVAIL),
	collector.OtherFailure:          "_OTHER",
}

// The kernel counts durations in nanoseconds, metrics in seconds.
var (
	handshakeBounds = inSeconds(bpf.HandshakeBounds[:])
	lifetimeBounds  = inSeconds(bpf.LifetimeBounds[:])
)

func inSeconds(ns []uint64) (bounds []float64) {
	for _, n := range ns {
		bounds = append(bounds, time.Duration(n).Seconds())
	}
	return bounds
}

// lives tells the sums of the kernel's tally.
func (p *Producer) lives(b *batch) error {
	if p.o.Lives == nil {
		return nil
	}
	lives, err := p.o.Lives()
	p.o.Namespaces.meet(func(yield func(uint32) bool) {
		for key := range lives {
			if !yield(key.Netns) {
				return
			}
		}
	})
	for key, sums := range lives {
		attributes := append(p.o.Namespaces.of(key.Netns), familyAttribute(key.Family))
		if role := collector.Role(key.Role).String(); role != "" {
			attributes = append(attributes, attribute.String(collector.KeyRole, role))
		}
		addLives(b, collector.Failure(key.Failure), &sums, attributes)
	}
	return err
}

func familyAttribute(family uint8) attribute.KeyValue {
	if family == unix.AF_INET6 {
		return attribute.String(collector.KeyType, "ipv6")
	}
	return attribute.String(collector.KeyType, "ipv4")
}

func addLives(b *batch, failure collector.Failure, sums *bpf.BrinkLives, attributes []attribute.KeyValue) {
	some(b, &opened, sums.Opened, attributes)
	if failure == collector.NoFailure {
		some(b, &closed, sums.Ended, attributes)
	} else {
		some(b, &failed, sums.Ended, with(attributes,
			attribute.String(collector.KeyErrorType, errorTypes[failure]),
			attribute.String(collector.KeyFailure, failure.String())))
	}
	some(b, &transferred, sums.BytesSent, with(attributes, attribute.String("network.io.direction", "transmit")))
	some(b, &transferred, sums.BytesReceived, with(attributes, attribute.String("network.io.direction", "receive")))
	some(b, &retransmits, sums.Retransmits, attributes)
	durations(b, &handshake, handshakeBounds, sums.Handshake[:], sums.HandshakeNs, attributes)
	durations(b, &lifetime, lifetimeBounds, sums.Lifetime[:], sums.LifetimeNs, attributes)
}

// some leaves out what has never been: a counter of zero for each namespace, role
// and failure would be most of the series.
func some(b *batch, i *instrument, n uint64, attributes []attribute.KeyValue) {
	if n > 0 {
		b.int(i, n, attributes...)
	}
}

func durations(b *batch, i *instrument, bounds []float64, buckets []uint64, sum uint64, attributes []attribute.KeyValue) {
	d := &distribution{bounds: bounds, counts: append([]uint64(nil), buckets...), sum: time.Duration(sum).Seconds()}
	if d.count() > 0 {
		b.add(i, point{dist: d}, attributes...)
	}
}

// with is a longer list, which shares nothing with the shorter one.
func with(list []attribute.KeyValue, more ...attribute.KeyValue) []attribute.KeyValue {
	return append(list[:len(list):len(list)], more...)
}

// timeWaits tells the steps of timewait sockets that the kernel has tallied.
func (p *Producer) timeWaits(b *batch) error {
	if p.o.TimeWaits == nil {
		return nil
	}
	counts, err := p.o.TimeWaits()
	for key, n := range counts {
		attributes := p.o.Namespaces.of(key.Netns)
		kind := attribute.String(collector.KeyTimeWaitKind, collector.State(key.Substate).String())
		switch bpf.BrinkTimeWaitEvent(key.Event) {
		case bpf.BrinkTimeWaitEventTIME_WAIT_ENTER:
			b.int(&timeWaitEntered, n, with(attributes, kind)...)
		case bpf.BrinkTimeWaitEventTIME_WAIT_LEAVE:
			b.int(&timeWaitLeft, n, with(attributes, kind)...)
		case bpf.BrinkTimeWaitEventTIME_WAIT_REUSE_CONNECT:
			b.int(&timeWaitReused, n, with(attributes, attribute.String(collector.KeyReusedBy, "connect"))...)
		case bpf.BrinkTimeWaitEventTIME_WAIT_REUSE_SYN:
			b.int(&timeWaitReused, n, with(attributes, attribute.String(collector.KeyReusedBy, "syn"))...)
		case bpf.BrinkTimeWaitEventTIME_WAIT_OVERFLOW:
			b.int(&timeWaitOverflowed, n, attributes...)
		}
	}
	return err
}
