package limits

import (
	"iter"

	"brink/bpf"
)

// Limit is a kernel limit that can refuse.
type Limit uint32

// The limits, numbered as in bpf/event.h.
const (
	None            = Limit(bpf.BrinkLimitLIMIT_NONE)
	EphemeralPorts  = Limit(bpf.BrinkLimitLIMIT_EPHEMERAL_PORTS)
	FourTuple       = Limit(bpf.BrinkLimitLIMIT_FOUR_TUPLE)
	BindConflict    = Limit(bpf.BrinkLimitLIMIT_BIND_CONFLICT)
	FileDescriptors = Limit(bpf.BrinkLimitLIMIT_FILE_DESCRIPTORS)
	FileTable       = Limit(bpf.BrinkLimitLIMIT_FILE_TABLE)
	AcceptQueue     = Limit(bpf.BrinkLimitLIMIT_ACCEPT_QUEUE)
	TimeWaitBuckets = Limit(bpf.BrinkLimitLIMIT_TIME_WAIT_BUCKETS)
	SYNQueue        = Limit(bpf.BrinkLimitLIMIT_SYN_QUEUE)
	TCPMemory       = Limit(bpf.BrinkLimitLIMIT_TCP_MEMORY)
	Orphans         = Limit(bpf.BrinkLimitLIMIT_ORPHANS)
	ConntrackTable  = Limit(bpf.BrinkLimitLIMIT_CONNTRACK_TABLE)
	NATPorts        = Limit(bpf.BrinkLimitLIMIT_NAT_PORTS)
	Threads         = Limit(bpf.BrinkLimitLIMIT_THREADS)
	count           = int(bpf.BrinkLimitLIMIT_COUNT)
)

// All are the limits of the catalogue, in its order.
func All() iter.Seq[Limit] {
	return func(yield func(Limit) bool) {
		for l := None + 1; int(l) < count; l++ {
			if !yield(l) {
				return
			}
		}
	}
}

// String is the value of brink.limit; empty for None.
func (l Limit) String() string { return l.Entry().Name }

// Entry is the limit's row in the catalogue; the zero Entry for None.
func (l Limit) Entry() Entry {
	if int(l) < count {
		return catalogue[l]
	}
	return Entry{}
}
