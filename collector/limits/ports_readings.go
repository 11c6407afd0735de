package limits

import (
	"fmt"
	"net/netip"
)

const socketsSource = "sock_diag"

// nearlyAll is the part of the range from which on a source address's held
// ports are told although nothing there is waiting to connect: the next
// bind() to port 0 may fail.
const nearlyAll = 0.9

// readings are the namespace's ephemeral ports: towards the n destinations
// that take most, and at the n addresses where programs bind first and hold
// most. The own namespace without any connection has one reading of nothing
// used.
func (p *Ports) readings(n int, own bool) (list []Reading, beyond int) {
	worst, beyond := p.worst(n)
	open := p.open()
	for _, d := range worst {
		list = append(list, p.towards(d, open))
	}
	bindFirst, more := cut(p.bindFirst(), n)
	list = append(list, bindFirst...)
	if len(list) == 0 && own {
		list = append(list, p.reading(netip.AddrPort{}, 0, open))
	}
	return list, beyond + more
}

func (p *Ports) bindFirst() (list []Reading) {
	size := p.Range.Size()
	for a, s := range p.sources {
		held := p.heldAt(a)
		if s.bound == 0 && float64(held) < nearlyAll*float64(size) {
			continue
		}
		r := p.reading(netip.AddrPortFrom(a.addr(), 0), held, size)
		r.Note = "counts for bind() to port 0"
		list = append(list, r)
	}
	return list
}

func (p *Ports) towards(d destination, open int) Reading {
	t := p.destinations[d]
	r := p.reading(netip.AddrPortFrom(d.source.addr(), 0), int(t.ports), open)
	r.Peer = netip.AddrPortFrom(d.peer.addr(), d.port)
	if t.timeWait > 0 {
		r.Note = fmt.Sprintf("%d in TIME_WAIT", t.timeWait)
	}
	return r
}

func (p *Ports) reading(local netip.AddrPort, used, most int) Reading {
	return Reading{
		Limit: EphemeralPorts, Transport: "tcp", Local: local,
		Used: uint64(used), Max: uint64(most), Knob: p.Range.Knob(), Source: socketsSource,
	}
}
