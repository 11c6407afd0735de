// Package memory keeps facts per network namespace, for experiments to judge.
//
//	Fact ─→ Accept ─→ Evidence of its namespace ─→ Take
//
// It counts rather than stores: a run of a million connections costs the same
// memory as a run of one. Only bind conflicts are kept whole, up to a bound.
package memory

import (
	"cmp"
	"slices"
	"sync"

	"brink/collector"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

// maxConflicts is how many bind conflicts of one namespace are kept.
const maxConflicts = 1024

// Sink implements collector.Sink.
type Sink struct {
	mu       sync.Mutex
	evidence map[uint32]*Evidence
}

// Evidence is what the kernel told about one namespace.
type Evidence struct {
	Connections int // endpoints whose handshake was completed
	Failed      int // endpoints whose handshake was not
	Partial     int // endpoints whose birth was not seen, so that it is not known
	Hits        []Hit
	Conflicts   []collector.BindConflict
	// TimeWaits counts the steps of timewait sockets.
	TimeWaits map[collector.TimeWaitEvent]int
	// Turned counts orphans whose timewait socket went on to TIME_WAIT.
	Turned int
	// Errors counts ended endpoints by errno, 0 among them.
	Errors map[unix.Errno]int
}

// Hit counts refusals of one limit, with one errno, seen by one hook.
type Hit struct {
	Limit collector.Limit
	Errno unix.Errno
	Hook  collector.Hook
	Count uint64
	Max   uint64 // the largest maximum that a refusal carried
}

// New makes an empty sink.
func New() *Sink { return &Sink{evidence: map[uint32]*Evidence{}} }

// Accept implements collector.Sink.
func (s *Sink) Accept(f collector.Fact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch f := f.(type) {
	case *collector.Connection:
		s.of(f.Netns).connection(f)
	case *collector.LimitHit:
		s.of(f.Netns).hit(Hit{Limit: f.Limit, Errno: f.Errno, Hook: f.Hook, Count: f.Count, Max: f.Max})
	case *collector.BindConflict:
		s.of(f.Netns).conflict(f)
	case *collector.TimeWait:
		s.of(f.Netns).timeWait(f)
	}
}

// Take returns the evidence of these namespaces together and forgets it.
func (s *Sink) Take(namespaces ...uint32) Evidence {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := newEvidence()
	for _, netns := range namespaces {
		e.add(s.of(netns))
		delete(s.evidence, netns)
	}
	slices.SortFunc(e.Hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(a.Limit, b.Limit), cmp.Compare(a.Errno, b.Errno), cmp.Compare(a.Hook, b.Hook))
	})
	return *e
}

func (e *Evidence) add(other *Evidence) {
	e.Connections += other.Connections
	e.Failed += other.Failed
	e.Partial += other.Partial
	e.Turned += other.Turned
	e.Conflicts = append(e.Conflicts, other.Conflicts...)
	for _, h := range other.Hits {
		e.hit(h)
	}
	for step, n := range other.TimeWaits {
		e.TimeWaits[step] += n
	}
	for errno, n := range other.Errors {
		e.Errors[errno] += n
	}
}

func newEvidence() *Evidence {
	return &Evidence{TimeWaits: map[collector.TimeWaitEvent]int{}, Errors: map[unix.Errno]int{}}
}

func (s *Sink) of(netns uint32) *Evidence {
	e := s.evidence[netns]
	if e == nil {
		e = newEvidence()
		s.evidence[netns] = e
	}
	return e
}

func (e *Evidence) connection(c *collector.Connection) {
	switch {
	case c.Preexisting:
		e.Partial++
	case c.Established():
		e.Connections++
	default:
		e.Failed++
	}
	e.Errors[c.Errno]++
}

// timeWait counts an entry once: an orphan that entered in FIN_WAIT2 and then
// turned into TIME_WAIT is told a second time, by another hook.
func (e *Evidence) timeWait(t *collector.TimeWait) {
	if t.Event == collector.TimeWaitEnter && t.Hook != collector.HookTimeWaitEnter {
		e.Turned++
		return
	}
	e.TimeWaits[t.Event]++
}

func (e *Evidence) conflict(c *collector.BindConflict) {
	e.hit(Hit{Limit: limits.BindConflict, Errno: c.Errno, Hook: c.Hook, Count: 1})
	if len(e.Conflicts) < maxConflicts {
		e.Conflicts = append(e.Conflicts, *c)
	}
}

func (e *Evidence) hit(h Hit) {
	for i := range e.Hits {
		known := &e.Hits[i]
		if known.Limit == h.Limit && known.Errno == h.Errno && known.Hook == h.Hook {
			known.Count += h.Count
			known.Max = max(known.Max, h.Max)
			return
		}
	}
	e.Hits = append(e.Hits, h)
}

// HitsOf is how often a limit refused.
func (e *Evidence) HitsOf(limit collector.Limit) (n uint64) {
	for _, h := range e.Hits {
		if h.Limit == limit {
			n += h.Count
		}
	}
	return n
}
