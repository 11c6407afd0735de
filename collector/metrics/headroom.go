package metrics

import (
	"net/netip"
	"time"

	"brink/collector"
	"brink/collector/limits"

	"go.opentelemetry.io/otel/attribute"
)

// Paths that are told one by one: those of private destinations that take a
// tenth of their ports or more, and of these the worst few of each namespace.
const (
	mostPaths  = 3
	worthwhile = 0.1
)

// headroom tells how close each limit is. Readings come worst first, so that of
// those which have the same attributes the worst one's figures are told.
func (p *Producer) headroom(b *batch, now time.Time) {
	if p.o.Readings == nil {
		return
	}
	s, took := p.o.Readings.Latest()
	if s.Time.IsZero() {
		return
	}
	b.float(&readingTime, took.Seconds())
	b.float(&readingAge, now.Sub(s.Time).Seconds())
	told := map[attribute.Distinct]bool{}
	paths := map[uint32]int{}
	for i := range s.Readings {
		r := &s.Readings[i]
		p.reading(b, r, told)
		p.listener(b, r)
		p.path(b, r, paths)
		if r.Limit == limits.TimeWaitBuckets {
			b.int(&timeWaitCount, r.Used, p.o.Namespaces.of(r.Netns)...)
		}
	}
	for _, c := range s.Connections {
		p.connections(b, &c)
	}
}

func (p *Producer) reading(b *batch, r *limits.Reading, told map[attribute.Distinct]bool) {
	subject := p.subject(r)
	if d, ok := r.TimeToExhaustion(); ok {
		b.float(&limitTime, d.Seconds(), subject...)
	}
	set := attribute.NewSet(subject...)
	if key := set.Equivalent(); told[key] {
		return // a worse one was
	} else {
		told[key] = true
	}
	b.int(&limitUsage, r.Used, subject...)
	b.int(&limitMax, r.Max, subject...)
	b.float(&limitPart, r.Utilisation(), subject...)
}

// subject is what a limit is told for: a namespace, a program by name, a cgroup
// or the host. Which listener, destination or process it is, is told elsewhere,
// or by `brink limits`: a series for each would be without end.
func (p *Producer) subject(r *limits.Reading) []attribute.KeyValue {
	list := append(p.o.Namespaces.of(r.Netns), attribute.String(collector.KeyLimit, r.Limit.String()))
	switch {
	case r.Limit == limits.FileDescriptors:
		list = append(list, attribute.String(collector.KeyProcess, r.Process))
	case r.Cgroup != "":
		list = append(list, attribute.String(collector.KeyCgroup, r.Cgroup))
		list = append(list, placeAttributes(r.Cgroup)...)
	case r.UID != 0:
		list = append(list, attribute.Int64(collector.KeyUID, int64(r.UID)))
	}
	return list
}

func (p *Producer) listener(b *batch, r *limits.Reading) {
	if r.Limit != limits.AcceptQueue {
		return
	}
	list := append(p.o.Namespaces.of(r.Netns), addressAttributes(collector.KeyLocalAddress, collector.KeyLocalPort, r.Local)...)
	if r.Process != "" {
		list = append(list, attribute.String(collector.KeyProcess, r.Process))
	}
	b.int(&acceptQueueUsage, r.Used, list...) // listeners that share the address add up
	b.int(&acceptQueueMax, r.Max, list...)
}

func (p *Producer) path(b *batch, r *limits.Reading, told map[uint32]int) {
	if r.Limit != limits.EphemeralPorts || !r.Peer.IsValid() || !isPrivate(r.Peer.Addr()) ||
		r.Utilisation() < worthwhile || told[r.Netns] >= mostPaths {
		return
	}
	told[r.Netns]++
	list := append(p.o.Namespaces.of(r.Netns), addressAttributes(collector.KeyLocalAddress, "", r.Local)...)
	list = append(list, addressAttributes(collector.KeyPeerAddress, collector.KeyPeerPort, r.Peer)...)
	b.int(&pathUsage, r.Used, list...)
	b.int(&pathMax, r.Max, list...)
}

// isPrivate: RFC 1918, RFC 4193, and what does not leave the host or the link.
// What a program elsewhere chose to be reached at is no attribute.
func isPrivate(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
}

func addressAttributes(address, port string, a netip.AddrPort) (list []attribute.KeyValue) {
	if !a.IsValid() {
		return nil
	}
	list = append(list, attribute.String(address, a.Addr().String()))
	if port != "" && a.Port() != 0 {
		list = append(list, attribute.Int64(port, int64(a.Port())))
	}
	return list
}

func (p *Producer) connections(b *batch, c *limits.Connections) {
	family := "ipv4"
	if c.IPv6 {
		family = "ipv6"
	}
	b.int(&connectionCount, c.Count, append(p.o.Namespaces.of(c.Netns),
		attribute.String(collector.KeyTransport, "tcp"), attribute.String(collector.KeyType, family),
		attribute.String(collector.KeyState, collector.State(c.State).String()))...)
}
