package diagnosis

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"

	"brink/collector"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

// Refusal is what was refused alike, to one process at one place.
type Refusal struct {
	refusalKey
	Count     uint64
	Used, Max uint64 // the last that was told
	// Holders, Rule and Remedy are of a bind: who was in the way.
	Holders      []string
	Rule, Remedy string
}

// refusalKey is what makes two refusals alike. An ephemeral port is not in it.
type refusalKey struct {
	Limit     limits.Limit      // or
	Failure   collector.Failure // of a connection
	Errno     unix.Errno
	Outcome   collector.Outcome
	Transport collector.Transport
	PID       uint32 // 0: nobody that was seen to own it
	Process   string
	Local     netip.AddrPort // what was to be bound, or the listener
	Peer      netip.AddrPort // what was to be connected to
	Lived     bool           // the connection had been established
}

// byListener: only who listens is concerned.
func (r *Refusal) byListener() bool {
	return r.Limit == limits.AcceptQueue || r.Limit == limits.SYNQueue
}

// byTable: packets of whatever connection were dropped.
func (r *Refusal) byTable() bool {
	return r.Limit == limits.ConntrackTable || r.Limit == limits.NATPorts
}

// Refusals is a sink that counts what is refused in one network namespace.
type Refusals struct {
	Netns uint32
	// PID keeps those of one process alone, and those without an owner; 0 keeps
	// all.
	PID uint32

	mu      sync.Mutex
	alike   map[refusalKey]*Refusal
	unnamed uint64
}

// mostAlike bounds the memory; what is beyond is counted without its place.
const mostAlike = 4096

// Accept implements collector.Sink.
func (r *Refusals) Accept(f collector.Fact) {
	switch f := f.(type) {
	case *collector.LimitHit:
		r.hit(f)
	case *collector.BindConflict:
		r.conflict(f)
	case *collector.Connection:
		r.connection(f)
	case *collector.ConnectFailures:
		r.count(refusalKey{Failure: f.Failure, Errno: f.Errno}, f.Netns, &f.Owner, f.Count, func(*Refusal) {})
	}
}

// connection counts one that failed, or broke. Which end of an older one is the
// ephemeral port is not known.
func (r *Refusals) connection(c *collector.Connection) {
	if c.Errno == 0 || c.Abandoned {
		return
	}
	k := refusalKey{Failure: c.Failure, Errno: c.Errno, Lived: c.Established() || c.Preexisting && afterHandshake(c.Failure)}
	switch c.Role {
	case collector.RoleClient:
		k.Peer = c.Peer
	case collector.RoleServer:
		k.Local = c.Local
	}
	r.count(k, c.Netns, &c.Owner, 1, func(*Refusal) {})
}

func (r *Refusals) hit(h *collector.LimitHit) {
	k := refusalKey{Limit: h.Limit, Errno: h.Errno, Outcome: h.Outcome, Transport: h.Transport, Peer: h.Peer}
	if h.Role == collector.RoleServer || !h.Peer.IsValid() {
		k.Local, k.Peer = h.Local, netip.AddrPort{} // a listener's clients are many
	}
	r.count(k, h.Netns, &h.Owner, max(h.Count, 1), func(x *Refusal) { x.Used, x.Max = h.Used, h.Max })
}

func afterHandshake(f collector.Failure) bool {
	return f == collector.Reset || f == collector.RetransmissionTimeout || f == collector.ProbeTimeout
}

func (r *Refusals) conflict(b *collector.BindConflict) {
	k := refusalKey{Limit: limits.BindConflict, Errno: b.Errno, Transport: b.Transport, Local: b.Local}
	r.count(k, b.Netns, &b.Owner, 1, func(x *Refusal) {
		x.Rule, x.Remedy, x.Holders = b.Rule().Sentence(), b.Remedy(), nil
		for i := range b.Holders {
			h := &b.Holders[i]
			name := "no process (" + h.StateName() + ")"
			if h.PID != 0 {
				name = who(h.PID, h.Name)
			}
			if !slices.Contains(x.Holders, name) {
				x.Holders = append(x.Holders, name)
			}
		}
	})
}

func (r *Refusals) count(k refusalKey, netns uint32, owner *collector.Owner, n uint64, tell func(*Refusal)) {
	if netns != r.Netns || r.PID != 0 && owner.Known() && owner.PID != r.PID {
		return
	}
	k.PID, k.Process = owner.PID, owner.Name()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alike == nil {
		r.alike = map[refusalKey]*Refusal{}
	}
	x := r.alike[k]
	if x == nil && len(r.alike) >= mostAlike {
		r.unnamed += n
		return
	}
	if x == nil {
		x = &Refusal{refusalKey: k}
		r.alike[k] = x
	}
	x.Count += n
	tell(x)
}

// Unnamed is how many there were beyond those that All has.
func (r *Refusals) Unnamed() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unnamed
}

// All are the refusals so far, the most frequent first. A connect that finds no
// port is told as a refusal by the limit and as a connection that failed: it
// counts once.
func (r *Refusals) All() (list []Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	byLimit := false
	for k := range r.alike {
		byLimit = byLimit || k.Limit == limits.EphemeralPorts || k.Limit == limits.FourTuple
	}
	for k, x := range r.alike {
		if k.Failure != collector.NoPort || !byLimit {
			list = append(list, *x)
		}
	}
	slices.SortFunc(list, func(a, b Refusal) int {
		return cmp.Or(
			cmp.Compare(b.Count, a.Count), cmp.Compare(a.Limit, b.Limit), cmp.Compare(a.Failure, b.Failure),
			cmp.Compare(a.PID, b.PID), a.Local.Compare(b.Local), a.Peer.Compare(b.Peer), cmp.Compare(a.Errno, b.Errno),
		)
	})
	return list
}
