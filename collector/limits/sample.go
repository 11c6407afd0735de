package limits

import (
	"net/netip"
	"time"
)

// sample is what the next sample's rates are computed from: the readings, those
// that were left out too, and all ephemeral ports, of which readings show the
// worst.
type sample struct {
	at    time.Time
	used  map[subject]uint64
	ports map[uint32]*Ports // by namespace
	bound map[uint32]boundOnly
}

func newSample() *sample {
	return &sample{used: map[subject]uint64{}, ports: map[uint32]*Ports{}, bound: map[uint32]boundOnly{}}
}

// boundOnly are those of an earlier sample; none if there is no such sample.
func (s *sample) boundOnly(netns uint32) boundOnly {
	if s == nil {
		return boundOnly{}
	}
	return s.bound[netns]
}

// rate compares a reading with the one of the same subject in this, the earlier
// sample; nil is that there was none.
func (s *sample) rate(r *Reading, at time.Time) {
	if s == nil {
		return
	}
	before, known := s.before(r)
	elapsed := at.Sub(s.at).Seconds()
	if !known || elapsed <= 0 {
		return
	}
	r.Rate = (float64(r.Used) - float64(before)) / elapsed
	r.Rated = true
}

func (s *sample) before(r *Reading) (used uint64, known bool) {
	if r.Limit != EphemeralPorts {
		used, known = s.used[r.subject()]
		return used, known
	}
	p := s.ports[r.Netns]
	if p == nil {
		return 0, false
	}
	return uint64(p.used(r.Local.Addr(), r.Peer)), true
}

// used is a reading's figure. A destination that is not there has none.
func (p *Ports) used(from netip.Addr, to netip.AddrPort) int {
	switch {
	case to.IsValid():
		return int(p.destinations[destination{from.As16(), to.Addr().As16(), to.Port()}].ports)
	case from.IsValid():
		return p.heldAt(from.As16())
	}
	return 0
}
