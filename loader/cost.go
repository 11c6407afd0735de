package loader

import (
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ProgramCost is what a program has cost since it was loaded: zeros unless the
// kernel's statistics are on (EnableStats).
type ProgramCost struct {
	Name string // in the BPF object; a program at several places counts once
	Runs uint64
	Time time.Duration
}

// Costs are those of all programs that are attached.
func (t *Tracer) Costs() (list []ProgramCost) {
	for _, a := range t.attached {
		if a.again {
			continue
		}
		if stats, err := a.program.Stats(); err == nil {
			name, _ := t.placeOf(a.name)
			list = append(list, ProgramCost{name, stats.RunCount, stats.Runtime})
		}
	}
	return list
}

// Loading is the part of Attach that went into loading programs: fitting them to
// this kernel, and its verifying and compiling them.
func (t *Tracer) Loading() time.Duration { return t.loading }

// Verified is how many instructions the kernel's verifier followed in all programs,
// each as often as it did; 0 before 5.16, which does not say.
func (t *Tracer) Verified() (n int) {
	for _, a := range t.attached {
		if info, err := a.program.Info(); err == nil && !a.again {
			followed, _ := info.VerifiedInstructions()
			n += int(followed)
		}
	}
	return n
}

// EnableStats has the kernel (5.8) time every run of every BPF program of the
// host until the result is closed.
func EnableStats() (io.Closer, error) {
	c, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return nil, fmt.Errorf("turn the kernel's BPF statistics on: %w", err)
	}
	return c, nil
}

// MapBytes is the kernel memory of all maps, as the kernel itself estimates it;
// 0 where it does not say.
func (t *Tracer) MapBytes() (n uint64) {
	for _, m := range t.maps {
		if info, err := m.Info(); err == nil {
			if bytes, ok := info.Memlock(); ok {
				n += bytes
			}
		}
	}
	return n
}
