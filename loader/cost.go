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
