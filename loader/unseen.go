package loader

import (
	"slices"

	"brink/bpf"

	"github.com/cilium/ebpf/link"
)

// unseen is what a program's misses come to, once what others made good is
// subtracted, which they count. The second program at inet_sock_set_state takes
// over what the first look at a change has missed, there or at tcp_set_state; what
// it has missed itself the first look has seen. It is the first look at a child's
// birth, inet_csk_clone_lock the second. And the change to CLOSE finds the timewait
// socket that inet_twsk_alloc has not told of.
func (t *Tracer) unseen(program string, misses uint64) uint64 {
	if misses == 0 {
		return 0
	}
	switch program {
	case bpf.BrinkProgRawTpInetSockSetStateAgain,
		bpf.BrinkProgFexitInetCskCloneLock, bpf.BrinkProgKretprobeInetCskCloneLock:
		return 0
	case bpf.BrinkProgRawTpInetSockSetState, bpf.BrinkProgFentryTcpSetState, bpf.BrinkProgKprobeTcpSetState:
		return misses - min(misses, t.rescued(bpf.BrinkCountCOUNT_RESCUED))
	case bpf.BrinkProgFexitInetTwskAlloc, bpf.BrinkProgKprobeInetTwskAlloc, bpf.BrinkProgKretprobeInetTwskAlloc:
		return misses - min(misses, t.rescued(bpf.BrinkCountCOUNT_RESCUED_TIME_WAIT))
	}
	return misses
}

// madeGood are the hooks that see on what their own programs have missed.
var madeGood = []bpf.BrinkHook{bpf.BrinkHookHOOK_STATE, bpf.BrinkHookHOOK_TIME_WAIT_ENTER}

func (t *Tracer) byKprobeAlone(hook string) bool {
	m := t.Mode(hook)
	return m.Rung == Kprobe && !slices.Contains(madeGood, m.ID)
}

// untold is what tcp_set_state's kprobe has missed and the kernel has not counted,
// which it does since 6.7 (dd8657894c11). While it skips one kprobe's program it
// skips those of all others on that CPU, and nothing takes over from them.
func (t *Tracer) untold() uint64 {
	for _, a := range t.attached {
		if a.name == bpf.BrinkProgKprobeTcpSetState {
			rescued := t.rescued(bpf.BrinkCountCOUNT_RESCUED)
			return rescued - min(rescued, a.misses())
		}
	}
	return 0
}

func (t *Tracer) rescued(count bpf.BrinkCount) uint64 {
	var n [bpf.BrinkCountCOUNT_COUNT]uint64
	if t.sum(bpf.BrinkMapCounts, n[:]) != nil {
		return 0
	}
	return n[count]
}

// misses are the runs that the kernel says it left out.
func (a attachment) misses() (n uint64) {
	if stats, err := a.program.Stats(); err == nil && !a.again {
		n = stats.RecursionMisses
	}
	if kprobe := kprobeOf(a.link); kprobe != nil {
		n += kprobe.Missed
	}
	return n
}

func kprobeOf(l link.Link) *link.KprobeInfo {
	info, err := l.Info()
	if err != nil {
		return nil // a perf event link has no info before 5.15
	}
	event := info.PerfEvent()
	if event == nil {
		return nil
	}
	return event.Kprobe()
}
