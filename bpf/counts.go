package bpf

// Counts are the kernel side's own numbers, summed over all CPUs.
type Counts struct {
	Emitted   uint64 // records that went into the ring
	Lost      uint64 // records that the full ring refused
	Untracked uint64 // endpoints that the full map refused
	Missed    uint64 // calls whose return could not be paired
	Skipped   uint64 // runs of any program that the kernel left out: no program nests in itself
}

// Hits are the refusals per limit, counted in the kernel: exact also where
// their records were lost. The index is a BrinkLimit.
type Hits [BrinkLimitLIMIT_COUNT]uint64

// Failures are the connections that failed, per kind. The index is a BrinkFailure.
type Failures [BrinkFailureFAILURE_COUNT]uint64
