package limits

import (
	"cmp"
	"net/netip"
	"slices"

	"brink/collector/sockdiag"
)

// States of include/net/tcp_states.h. sock_diag tells request sockets
// (TCP_NEW_SYN_RECV in the kernel) as TCP_SYN_RECV, and sockets that are bound
// and nothing else as 13, since 6.8.
const (
	synReceived   = 3
	timeWait      = 6
	listening     = 10
	boundInactive = 13
)

// Use is how much of a range of ports is taken.
type Use struct {
	Used, Max int
	TimeWait  int // how many of Used only wait for their TIME_WAIT to end
}

// Ports counts the local TCP ports of one network namespace from one look at
// its sockets. Two limits live in the same range. connect() shares a port
// between destinations: see Towards. bind() to port 0 does not, as it cannot
// know the destination: see Held.
type Ports struct {
	Range *PortRange

	// locked ports are passed over by connect(): bind() made their bucket
	// (__inet_hash_connect: tb->fastreuse >= 0), for any address of either
	// family. Listeners and sockets that are only bound show it. A socket that
	// was bound and then connected looks like any client, so its port counts
	// for its own destination alone, and nothing for the others: sock_diag does
	// not have sk_userlocks.
	locked       PortSet
	clients      PortSet // those that are counted in destinations
	destinations map[destination]tally
	sources      map[address]*source
}

// address is an IPv6 address, or an IPv4 one mapped into IPv6: without
// pointers, so that a million of them cost the garbage collector nothing.
type address [16]byte

var wildcards = []address{netip.IPv4Unspecified().As16(), netip.IPv6Unspecified().As16()}

func (a address) addr() netip.Addr { return netip.AddrFrom16(a).Unmap() }

func (a address) isWildcard() bool { return slices.Contains(wildcards, a) }

// destination is what the clients' ports are shared out by.
type destination struct {
	source, peer address
	port         uint16
}

type tally struct{ ports, timeWait uint32 }

// source is a local address.
type source struct {
	held  PortSet
	bound int // sockets that are bound and nothing else
}

func newPorts(r *PortRange) *Ports {
	return &Ports{Range: r, destinations: map[destination]tally{}, sources: map[address]*source{}}
}

// CountPorts counts the ports of a namespace's TCP sockets. It takes two passes:
// whose port is locked is known once all listeners are.
func CountPorts(r *PortRange, sockets []sockdiag.Socket) *Ports {
	p := newPorts(r)
	for i := range sockets {
		p.lock(&sockets[i])
	}
	for i := range sockets {
		p.count(&sockets[i])
	}
	return p
}

func (p *Ports) lock(s *sockdiag.Socket) {
	if s.State == listening || s.State == boundInactive {
		p.locked.Add(s.Local.Port())
	}
}

// lockAll takes sockets that are bound and nothing else, when clients may have
// been counted already. Where they share a port with one, it forgets all clients
// and reports that they have to be counted again.
func (p *Ports) lockAll(boundOnly []sockdiag.Socket) (again bool) {
	for i := range boundOnly {
		p.lock(&boundOnly[i])
		p.count(&boundOnly[i])
		again = again || p.clients.Has(boundOnly[i].Local.Port())
	}
	if again {
		clear(p.destinations)
	}
	return again
}

// count takes a socket. What has a listener's port was accepted and is no
// client. The others have a port for themselves per destination: the kernel
// keeps the 4-tuple unique, so that counting sockets counts ports.
func (p *Ports) count(s *sockdiag.Socket) {
	port := s.Local.Port()
	if !p.Range.Contains(port) {
		return
	}
	local := address(s.Local.Addr().As16())
	p.hold(local, port, s.State)
	if s.Peer.Port() == 0 || p.locked.Has(port) {
		return
	}
	p.clients.Add(port)
	d := destination{local, s.Peer.Addr().As16(), s.Peer.Port()}
	t := p.destinations[d]
	t.ports++
	if s.State == timeWait {
		t.timeWait++
	}
	p.destinations[d] = t
}

func (p *Ports) hold(local address, port uint16, state uint8) {
	at := p.sources[local]
	if at == nil {
		at = new(source)
		p.sources[local] = at
	}
	at.held.Add(port)
	if state == boundInactive {
		at.bound++
	}
}

// open is how many ports connect() may use towards one destination.
func (p *Ports) open() int {
	n := 0
	for port := int(p.Range.Low); port <= int(p.Range.High); port++ {
		if p.Range.Contains(uint16(port)) && !p.locked.Has(uint16(port)) {
			n++
		}
	}
	return n
}

// Towards is how many ports connect() has taken from a source address to a
// destination, in all states, of those that it may take.
func (p *Ports) Towards(from netip.Addr, to netip.AddrPort) Use {
	t := p.destinations[destination{from.As16(), to.Addr().As16(), to.Port()}]
	return Use{Used: int(t.ports), Max: p.open(), TimeWait: int(t.timeWait)}
}

// Held is how many ports bind() to port 0 of a local address finds taken: any
// socket there or at a wildcard address holds its port, whatever its state and
// destination (inet_csk_bind_conflict; SO_REUSEADDR shares some of them).
func (p *Ports) Held(at netip.Addr) Use {
	return Use{Used: p.heldAt(at.As16()), Max: p.Range.Size()}
}

func (p *Ports) heldAt(at address) int {
	var held PortSet
	add := func(s *source) {
		if s != nil {
			held.addAll(&s.held)
		}
	}
	if at.isWildcard() {
		for _, s := range p.sources {
			add(s)
		}
		return held.Count()
	}
	add(p.sources[at])
	for _, wildcard := range wildcards {
		add(p.sources[wildcard])
	}
	return held.Count()
}

// worst are the destinations, at most n, towards which most ports are taken, and
// how many destinations there are beyond.
func (p *Ports) worst(n int) (list []destination, beyond int) {
	order := func(a, b destination) int {
		return cmp.Or(
			cmp.Compare(p.destinations[b].ports, p.destinations[a].ports),
			slices.Compare(a.source[:], b.source[:]),
			slices.Compare(a.peer[:], b.peer[:]),
			cmp.Compare(a.port, b.port),
		)
	}
	for d := range p.destinations {
		if len(list) == n && order(list[n-1], d) < 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(list, d, order)
		list = slices.Insert(list, at, d)
		list = list[:min(len(list), n)]
	}
	return list, len(p.destinations) - len(list)
}
