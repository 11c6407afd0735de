package loader

import (
	"fmt"
	"math/bits"
	"net/netip"
	"os"
	"slices"

	"brink/bpf"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// Options say what to attach. The zero value sees everything on the best rung
// that each hook can get.
type Options struct {
	// Best is the highest rung to try.
	Best Rung
	// States streams every single state change as well.
	States bool
	// RingBytes is the size of the ring buffer, a power of two; 0 is 16 MiB.
	RingBytes uint32
	// Endpoints is how many endpoints are tracked at once; 0 is some 2^21 where a
	// map may grow on demand (6.1), else 2^17, which are allocated at once.
	Endpoints uint32
	Filter    Filter
	// Tally sums connections up (Lives, TimeWaits) instead of telling of each one.
	// Refusals are told in any case, and so is the SampleRatio (0 to 1) of the
	// connections: those that OpenTelemetry's TraceIDRatioBased would keep.
	Tally       bool
	SampleRatio float64
	// Hollow attaches programs that do nothing: what calling them costs, and no more.
	Hollow bool
}

// Filter narrows what the kernel programs tell. Conditions are joined by "and",
// the values within one by "or"; an empty condition lets everything pass.
type Filter struct {
	PID    uint32
	Port   uint16 // local or peer
	CIDRs  []netip.Prefix
	Netns  []uint32 // inode numbers
	Cgroup string   // a directory of the cgroup v2 hierarchy; includes those below
	// Dynamic filters by namespace even while Netns is empty: AllowNetns adds.
	Dynamic bool
}

func (f Filter) byTuple() bool { return f.Port != 0 || len(f.CIDRs) > 0 }

// needed leaves out what would have nothing to do: the hook of a child's birth, where
// the child is taken up at ESTABLISHED (born_late in bpf/endpoint.h).
func (o Options) needed(programs []string) []string {
	if !o.Tally && !o.Filter.byTuple() {
		return programs
	}
	return slices.DeleteFunc(slices.Clone(programs), func(name string) bool {
		return name == bpf.BrinkProgFexitInetCskCloneLock || name == bpf.BrinkProgKretprobeInetCskCloneLock
	})
}

// preallocate reports whether a hash map must be allocated in full: before 6.1
// a tracing program that allocates can deadlock with the allocator it
// interrupted (the kernel warns of it, kernel/bpf/verifier.c). 6.1 brought BPF
// a memory allocator of its own, and the helper bpf_user_ringbuf_drain with it.
func preallocate() bool {
	return features.HaveProgramHelper(ebpf.RawTracepoint, asm.FnUserRingbufDrain) != nil
}

func (o Options) apply(spec *ebpf.CollectionSpec) {
	first, more := spec.Maps[bpf.BrinkMapEndpoints], spec.Maps[bpf.BrinkMapMoreEndpoints]
	if preallocate() {
		more.MaxEntries = 1 << 17
		more.Flags &^= unix.BPF_F_NO_PREALLOC
	}
	first.MaxEntries = o.places()
	if o.Endpoints != 0 {
		more.MaxEntries = max(o.Endpoints-first.MaxEntries, 1)
	}
	o.applyTally(spec)
	if o.RingBytes != 0 {
		spec.Maps[bpf.BrinkMapEvents].MaxEntries = o.RingBytes
	}
}

// places is how many endpoints find room without a hash: a power of two.
func (o Options) places() uint32 {
	const most = 1 << 15
	if o.Endpoints == 0 {
		return most
	}
	return min(most, uint32(1)<<(bits.Len32(o.Endpoints)-1))
}

// constants are the options' values for the programs' read-only data.
func (o Options) constants() map[string]any {
	f := o.Filter
	return map[string]any{
		bpf.BrinkVarStreamStates:   o.States,
		bpf.BrinkVarFilterPid:      f.PID,
		bpf.BrinkVarFilterPort:     f.Port,
		bpf.BrinkVarFilterByNetns:  f.Dynamic || len(f.Netns) > 0,
		bpf.BrinkVarFilterByCgroup: f.Cgroup != "",
		bpf.BrinkVarFilterByCidr:   len(f.CIDRs) > 0,
		bpf.BrinkVarFilterByTuple:  f.byTuple(),

		bpf.BrinkVarLastPlace: o.places() - 1,

		bpf.BrinkVarTally:           o.Tally,
		bpf.BrinkVarSampleBelow:     sampleBelow(o.SampleRatio),
		bpf.BrinkVarHandshakeBounds: bpf.HandshakeBounds,
		bpf.BrinkVarLifetimeBounds:  bpf.LifetimeBounds,
	}
}

// fill writes the filter's sets into their maps.
func (f Filter) fill(maps map[string]*ebpf.Map) error {
	for _, netns := range f.Netns {
		if err := maps[bpf.BrinkMapFilterNetns].Put(netns, uint8(1)); err != nil {
			return fmt.Errorf("filter by netns %d: %w", netns, err)
		}
	}
	for _, prefix := range f.CIDRs {
		if err := maps[bpf.BrinkMapFilterCidr].Put(cidrKey(prefix), uint8(1)); err != nil {
			return fmt.Errorf("filter by %s: %w", prefix, err)
		}
	}
	return f.fillCgroup(maps[bpf.BrinkMapFilterCgroup])
}

func (f Filter) fillCgroup(m *ebpf.Map) error {
	if f.Cgroup == "" {
		return nil
	}
	dir, err := os.Open(f.Cgroup)
	if err != nil {
		return fmt.Errorf("filter by cgroup: %w", err)
	}
	defer dir.Close() // the map holds the cgroup itself
	if err := m.Put(uint32(0), uint32(dir.Fd())); err != nil {
		return fmt.Errorf("filter by cgroup %s (is it in the cgroup v2 hierarchy?): %w", f.Cgroup, err)
	}
	return nil
}

func cidrKey(p netip.Prefix) bpf.BrinkCidr {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return bpf.BrinkCidr{PrefixLength: uint32(bits), Address: p.Masked().Addr().As16()}
}
