package collector

import (
	"time"

	"brink/collector/limits"
	"brink/collector/sockdiag"
)

// measurer adds to a limit hit what the kernel's programs cannot tell of: the
// figures of limits that are counted elsewhere, and how many ports of the range
// are reserved. Hits come in storms, so a figure serves for a moment.
type measurer struct {
	known map[measured]measurement
}

type measured struct {
	limit     Limit
	netns     uint32
	low, high uint16
}

type measurement struct {
	used, max uint64
	at        time.Time
}

const (
	measureEvery = 100 * time.Millisecond
	maxMeasured  = 1024 // namespaces come and go
)

// wants reports whether a hit lacks something that can be read.
func wants(h *LimitHit) bool {
	return h.High != 0 || h.Max == 0 && limits.Measurable(h.Limit)
}

func (m *measurer) complete(h *LimitHit) {
	key := measured{h.Limit, h.Netns, h.Low, h.High}
	now, ok := m.known[key]
	if !ok || time.Since(now.at) > measureEvery {
		now = measure(h)
		if len(m.known) >= maxMeasured {
			clear(m.known)
		}
		m.known[key] = now
	}
	h.Used, h.Max = now.used, now.max
}

func measure(h *LimitHit) measurement {
	m := measurement{at: time.Now()}
	path := sockdiag.NetnsPath(h.Netns, h.Owner.PID)
	if h.High == 0 {
		m.used, m.max = limits.Measure(h.Limit, path)
		return m
	}
	m.max = uint64(h.High) - uint64(h.Low) + 1
	if path != "" {
		if n, err := limits.Choosable(path, h.Low, h.High); err == nil {
			m.max = uint64(n)
		}
	}
	m.used = m.max // the search went through all of them
	return m
}
