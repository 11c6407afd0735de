package experiments

import (
	"context"
	"errors"
	"math"
	"time"

	"brink/collector/limits"
)

// scaleRoom is what this machine has room for, in connections of which it holds
// both ends.
type scaleRoom struct {
	available, each int // bytes: those to be had, and those of a connection
	memory, files   int
	descriptors     int // of a pair
	ports           int // towards one destination
	predicted       int
}

const (
	// memoryReserve of what is available stays so: the machine has other work.
	memoryReserve = 0.25
	// besideSlabs is what a connection takes beside its kernel objects: the record
	// of each end in brink's own tracing, the workers' notes, descriptor tables.
	besideSlabs = 1 << 10
	// slabsUnseen is what those take where the slab caches cannot be looked at.
	slabsUnseen = 8 << 10
)

func (b *Bench) readScaleRoom(context.Context) (r scaleRoom, err error) {
	if r.available, err = meminfo("MemAvailable"); err != nil {
		return r, err
	}
	r.each = slabsUnseen + besideSlabs
	if p, err := predictIdleMemory(IPv4); err == nil {
		r.each = p.Value + besideSlabs
	}
	r.memory = int(float64(r.available) * (1 - memoryReserve) / float64(r.each))
	used, most := limits.Measure(limits.FileTable, "")
	if most == 0 {
		return r, errors.New("read /proc/sys/fs/file-nr: it does not say how many files there may be")
	}
	r.files = int(min((most-min(used, most))/2, math.MaxInt32))
	return r, nil
}

// predict is the smallest of all.
func (s *scale) predict(ctx context.Context, b *Bench) (Prediction, error) {
	ports, err := b.predictPorts(ctx, len(s.pairs)*s.addresses, s.end)
	if err != nil {
		return ports, err
	}
	descriptors, err := s.descriptors(ctx)
	p := Prediction{
		Value: min(ports.Value, descriptors, s.room.files, s.room.memory), Unit: "connections",
		Formula: "min(descriptors, files, memory, ports)",
		Inputs: []Input{
			{"descriptors", descriptors}, {"files", s.room.files}, {"memory", s.room.memory}, {"ports", ports.Value},
			{"MemAvailable", s.room.available}, {"kept", memoryReserve}, {"bytes of each", s.room.each},
			{"destinations", len(s.pairs) * s.addresses}, {"processes", 2 * len(s.pairs)},
		},
		Errno: s.end,
	}
	if s.wanted > 0 {
		p.Value, p.Formula = min(p.Value, s.wanted), "min(wanted, descriptors, files, memory, ports)"
		p.Inputs = append([]Input{{"wanted", s.wanted}}, p.Inputs...)
	}
	s.room.predicted = p.Value
	s.room.descriptors, s.room.ports = descriptors/len(s.pairs), ports.Value/(len(s.pairs)*s.addresses)
	return p, err
}

// descriptors is what the pairs have, each as many as the poorer of the two.
func (s *scale) descriptors(ctx context.Context) (sum int, err error) {
	for _, p := range s.pairs {
		client, err := p.client.FreeDescriptors(ctx)
		if err != nil {
			return 0, err
		}
		server, err := p.server.FreeDescriptors(ctx)
		if err != nil {
			return 0, err
		}
		free := int(min(client.Free(), server.Free()))
		if s.wanted > 0 {
			free -= spareAtScale
		}
		sum += free
	}
	return sum, nil
}

// A scaled is what a push of many connections took.
type scaled struct {
	n         int
	took      time.Duration
	slabs     int // bytes by which the connection's caches grew; 0 where that cannot be seen
	available int // and by which MemAvailable fell
}

// showing is how many connections it takes for their memory to show beside that
// of everything else on the host.
const showing = 100_000

func (s *scale) findings(t scaled) []Finding {
	if s.wanted == 0 || t.n == 0 {
		return nil
	}
	all := []Finding{
		{"until all were accepted", t.took.Seconds(), "s"},
		{"opened, with as many CPUs", t.perSecond(), "connections/s"},
	}
	if t.slabs > 0 {
		all = append(all, Finding{"in slabs", t.each(t.slabs), "bytes a connection"})
	}
	if t.n >= showing {
		all = append(all, Finding{"of MemAvailable, workers and tracing included", t.each(t.available), "bytes a connection"})
	}
	for _, more := range []scaleStep{{"10^6", 1e6}, {"10^7", 1e7}} {
		all = append(all, s.extrapolate(t, more)...)
	}
	return all
}

func (t scaled) perSecond() float64 { return float64(t.n) / t.took.Seconds() }

func (t scaled) each(bytes int) float64 { return float64(bytes) / float64(t.n) }

// A scaleStep is a number of connections to extrapolate to.
type scaleStep struct {
	name string
	n    float64
}

// extrapolate says what more connections would take if each took what these did:
// as many bytes and as much time, with processes and destinations as full as they
// may be here. Time is the weakest of these: the kernel's table of established
// sockets has a fixed number of buckets (tcp_hashinfo, by memory at boot), whose
// chains grow with the connections.
func (s *scale) extrapolate(t scaled, more scaleStep) (all []Finding) {
	if t.slabs > 0 {
		all = append(all, Finding{more.name + " would take, in slabs", t.each(t.slabs) * more.n / (1 << 30), "GiB"})
	}
	return append(all,
		Finding{more.name + " would take, at this rate", more.n / t.perSecond(), "s"},
		Finding{more.name + " would take, as full as may be", 2 * math.Ceil(more.n/float64(s.room.descriptors)), "processes"},
		Finding{more.name + " would take, from one address", math.Ceil(more.n / float64(s.room.ports)), "destinations"})
}
