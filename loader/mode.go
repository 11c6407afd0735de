package loader

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
)

// A Mode is how a hook is seen on this kernel.
type Mode struct {
	Hook
	Rung Rung
	// Sources are the kernel functions and tracepoints in use, as
	// "fexit/tcp_v4_connect".
	Sources []string
	// Lost is what this rung does not see.
	Lost string
	// Refusals say, rung by rung, why no better one was got.
	Refusals []Refusal

	way Way
}

// A Refusal is a rung that could not be had, and the kernel's reason.
type Refusal struct {
	Rung   Rung
	Reason string
}

// lastRefusal is why not even the lowest rung could be had. Without state
// changes there is nothing that the other hooks could tell of.
func (m *Mode) lastRefusal() error {
	if len(m.Refusals) == 0 {
		return errors.New("there is no hook for " + m.Name)
	}
	last := m.Refusals[len(m.Refusals)-1]
	return fmt.Errorf("no hook for %s by %s: %s", m.Name, last.Rung, last.Reason)
}

func (m *Mode) refuse(r Rung, why string) {
	if n := len(m.Refusals); n > 0 && m.Refusals[n-1] == (Refusal{r, why}) {
		return // two ways on one rung, and one reason
	}
	m.Refusals = append(m.Refusals, Refusal{r, why})
}

// take settles on a way. Another one on the same rung, for other kernels, may have
// been refused before; the rung was not.
func (m *Mode) take(way Way) {
	m.way, m.Rung, m.Lost = way, way.Rung, way.Lost
	m.Refusals = slices.DeleteFunc(m.Refusals, func(r Refusal) bool { return r.Rung == way.Rung })
}

// carriedBy gives a hook that has no programs of its own those of its carrier,
// or takes its rung away if the carrier has none.
func (m *Mode) carriedBy(t *Tracer) {
	if m.Rung == None || m.way.With == 0 {
		return
	}
	carrier := t.mode(m.way.With)
	m.Sources = carrier.Sources
	if carrier.Rung >= Poll {
		m.refuse(m.Rung, "there is no hook for "+carrier.Name)
		m.Rung, m.Lost = None, m.Without
		m.fallBack()
		return
	}
	m.Rung = max(m.Rung, carrier.Rung)
}

// fallBack polls, where that is a way.
func (m *Mode) fallBack() {
	for _, way := range m.Ways {
		if way.Rung == Poll {
			m.way, m.Rung, m.Lost, m.Sources = way, Poll, way.Lost, []string{"poll"}
		}
	}
}

// reason is the first line of the kernel's no: a verifier log has thousands.
func reason(err error) string {
	var verifier *ebpf.VerifierError
	if errors.As(err, &verifier) {
		err = verifier.Cause
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	line, _, _ = strings.Cut(line, " (MEMLOCK") // a guess that is not ours
	if _, after, ok := strings.Cut(line, "load program: "); ok {
		line = "load program: " + after // which one, the hook says
	}
	return line
}
