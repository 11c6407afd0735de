package collector

import (
	"brink/bpf"
	"brink/collector/limits"
)

// Limit is a kernel limit that can refuse; the catalogue of limits has them all.
type Limit = limits.Limit

// Hook is a row of the loader's hook table, by its number in bpf/event.h.
type Hook uint32

// The hooks that facts are told apart by.
const (
	HookTimeWaitEnter  = Hook(bpf.BrinkHookHOOK_TIME_WAIT_ENTER)
	HookAcceptQueue    = Hook(bpf.BrinkHookHOOK_ACCEPT_QUEUE)
	HookSYNQueue       = Hook(bpf.BrinkHookHOOK_SYN_QUEUE)
	HookOrphans        = Hook(bpf.BrinkHookHOOK_ORPHANS)
	HookConntrackTable = Hook(bpf.BrinkHookHOOK_CONNTRACK_TABLE)
	HookNATPorts       = Hook(bpf.BrinkHookHOOK_NAT_PORTS)
)
