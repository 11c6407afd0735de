package collector

import "brink/bpf"

// Limit is a kernel limit that can refuse.
type Limit uint32

// The limits, numbered as in bpf/event.h.
const (
	LimitNone            = Limit(bpf.BrinkLimitLIMIT_NONE)
	LimitEphemeralPorts  = Limit(bpf.BrinkLimitLIMIT_EPHEMERAL_PORTS)
	LimitFourTuple       = Limit(bpf.BrinkLimitLIMIT_FOUR_TUPLE)
	LimitBindConflict    = Limit(bpf.BrinkLimitLIMIT_BIND_CONFLICT)
	LimitFileDescriptors = Limit(bpf.BrinkLimitLIMIT_FILE_DESCRIPTORS)
	LimitFileTable       = Limit(bpf.BrinkLimitLIMIT_FILE_TABLE)
	LimitAcceptQueue     = Limit(bpf.BrinkLimitLIMIT_ACCEPT_QUEUE)
	LimitTimeWaitBuckets = Limit(bpf.BrinkLimitLIMIT_TIME_WAIT_BUCKETS)
	limitCount           = int(bpf.BrinkLimitLIMIT_COUNT)
)

var limitNames = [limitCount]string{
	LimitNone:            "",
	LimitEphemeralPorts:  "ephemeral_ports",
	LimitFourTuple:       "four_tuple",
	LimitBindConflict:    "bind_conflict",
	LimitFileDescriptors: "file_descriptors",
	LimitFileTable:       "file_table",
	LimitAcceptQueue:     "accept_queue",
	LimitTimeWaitBuckets: "time_wait_buckets",
}

// String is the value of brink.limit.
func (l Limit) String() string {
	if int(l) < limitCount {
		return limitNames[l]
	}
	return ""
}

// Hook is a row of the loader's hook table, by its number in bpf/event.h.
type Hook uint32

// The hooks that facts are told apart by.
const (
	HookTimeWaitEnter = Hook(bpf.BrinkHookHOOK_TIME_WAIT_ENTER)
	HookAcceptQueue   = Hook(bpf.BrinkHookHOOK_ACCEPT_QUEUE)
)
