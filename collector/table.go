package collector

import (
	"net/netip"
	"time"

	"brink/bpf"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

// Known is what sock_diag said about a socket that is older than brink.
type Known struct {
	Cookie uint64 // joins with what the kernel programs report
	State  State
	Local  netip.AddrPort
	Peer   netip.AddrPort
	Netns  uint32
	Owner  Owner
}

// Table turns records into facts. It is pure: records in, facts out, no clock
// of its own and no I/O. It is bounded by what Remember was given at the start.
type Table struct {
	boot      time.Time // the wall clock's time at boot time zero
	known     map[uint64]Known
	listeners map[listener]Owner
	orphans   orphans // nil where a hook tells of them

	// lent to the sinks, one fact at a time
	connection Connection
	hit        LimitHit
	conflict   BindConflict
	timeWait   TimeWait
	change     StateChange
}

type listener struct {
	local netip.AddrPort
	netns uint32
}

// NewTable makes a table for records whose times count from boot.
func NewTable(boot time.Time) *Table {
	return &Table{boot: boot, known: map[uint64]Known{}, listeners: map[listener]Owner{}}
}

// SetBoot corrects the clock: the wall clock may be stepped while brink runs.
func (t *Table) SetBoot(boot time.Time) { t.boot = boot }

// Remember adds a socket that is older than brink.
func (t *Table) Remember(k Known) {
	if k.State == Listen {
		t.listeners[listener{k.Local, k.Netns}] = k.Owner
		return
	}
	t.known[k.Cookie] = k
}

// Apply decodes one record and emits what follows from it. Facts are lent for
// the length of the call. The error is a record that no kernel program of this
// build can have written.
func (t *Table) Apply(raw []byte, emit func(Fact)) error {
	r, err := decode(raw)
	switch {
	case err != nil:
		return err
	case r.ended != nil:
		t.ended(r.ended, emit)
	case r.refused != nil:
		t.refused(r.refused, emit)
	case r.timeWait != nil:
		t.timeWaitStep(r.timeWait, emit)
	case r.changed != nil:
		t.changed(r.changed, emit)
	}
	return nil
}

func (t *Table) ended(e *bpf.BrinkEndpointEnded, emit func(Fact)) {
	c := &t.connection
	c.nStates = 0 // field by field: a new value would be built and copied, states and all
	c.Role = Role(e.Endpoint.Role)
	c.Start, c.End, c.Duration = time.Time{}, t.at(e.Ended), 0
	c.Local, c.Peer = addresses(&e.Endpoint.Tuple)
	c.Netns = e.Endpoint.Netns
	c.Owner = ownerOf(&e.Endpoint.Owner)
	c.Errno, c.Failure = unix.Errno(e.Error), Failure(e.Failure)
	c.Preexisting = e.Endpoint.Flags&flagPartial != 0
	c.Abandoned = e.Endpoint.Flags&flagAbandoned != 0
	c.Retransmits, c.BytesSent, c.BytesReceived = e.Retransmits, e.BytesSent, e.BytesReceived
	c.InitialLocal, c.InitialPeer = e.Endpoint.IsnLocal, e.Endpoint.IsnPeer
	c.Hook = Hook(e.Header.Hook)
	if c.Preexisting {
		t.recall(c, e.Cookie)
	} else {
		first := t.setStates(c, e)
		c.Start, c.Duration = t.at(first), time.Duration(e.Ended-first)
	}
	emit(c)
	t.enteredTimeWait(c, e.Endpoint.Flags, emit)
	t.tellTurn(c, e, emit)
}

// recall adds what sock_diag knew of a socket older than brink.
func (t *Table) recall(c *Connection, cookie uint64) {
	k, ok := t.known[cookie]
	if !ok || cookie == 0 {
		return
	}
	c.Owner = k.Owner
	delete(t.known, cookie)
}

// setStates puts the states in the order of their times and returns the first
// time.
func (t *Table) setStates(c *Connection, e *bpf.BrinkEndpointEnded) (first uint64) {
	var order [len(stageStates)]int
	n := 0
	for stage, at := range e.Endpoint.At {
		if at == 0 {
			continue
		}
		i := n
		for ; i > 0 && e.Endpoint.At[order[i-1]] > at; i-- {
			order[i] = order[i-1]
		}
		order[i] = stage
		n++
	}
	first = e.Ended
	if n > 0 {
		first = e.Endpoint.At[order[0]]
	}
	for _, stage := range order[:n] {
		c.addState(stageStates[stage], e.Endpoint.At[stage]-first)
	}
	if last := lastState(e.Endpoint.Flags); last != FinWait2 {
		c.addState(last, e.Ended-first)
	}
	return first
}

func (c *Connection) addState(s State, since uint64) {
	c.states[c.nStates] = StateAt{State: s, At: time.Duration(since)}
	c.nStates++
}

// lastState is what the endpoint went into: an orphan in FIN_WAIT2 stays there,
// as a timewait socket of that kind.
func lastState(flags uint8) State {
	switch {
	case flags&flagTimeWait != 0:
		return TimeWaitState
	case flags&flagTimeWaitFinWait2 != 0:
		return FinWait2
	}
	return Closed
}

func (t *Table) enteredTimeWait(c *Connection, flags uint8, emit func(Fact)) {
	if flags&(flagTimeWait|flagTimeWaitFinWait2|flagTimeWaitOverflow) == 0 {
		return
	}
	t.timeWait = TimeWait{
		Time: c.End, Event: TimeWaitEnter, State: TimeWaitState,
		Local: c.Local, Peer: c.Peer, Netns: c.Netns, Owner: c.Owner,
		Hook: HookTimeWaitEnter,
	}
	if flags&flagTimeWaitFinWait2 != 0 {
		t.timeWait.State = FinWait2
		t.orphans.add(c)
	}
	if flags&flagTimeWaitOverflow != 0 {
		t.timeWait.Event = TimeWaitOverflow
	}
	emit(&t.timeWait)
}

func (t *Table) refused(r *bpf.BrinkRefused, emit func(Fact)) {
	local, peer := addresses(&r.Tuple)
	owner := ownerOf(&r.Owner)
	if Limit(r.Limit) == limits.BindConflict {
		t.conflict = BindConflict{
			Time: t.at(r.At), Errno: unix.Errno(r.Error), Local: local,
			Asked: optionsOf(&r.Bind), Listening: r.Bind.Listening != 0, Transport: transportOf(&r.Tuple),
			Netns: r.Netns, Owner: owner, Hook: Hook(r.Header.Hook),
		}
		emit(&t.conflict)
		return
	}
	t.hit = LimitHit{
		Time: t.at(r.At), Limit: Limit(r.Limit), Errno: unix.Errno(r.Error),
		Used: r.Used, Max: r.Max, Low: r.Range.Low, High: r.Range.High, Outcome: Outcome(r.Outcome), Count: 1, Role: Role(r.Role), Transport: transportOf(&r.Tuple),
		Local: local, Peer: peer, Netns: r.Netns, Owner: owner, Hook: Hook(r.Header.Hook),
	}
	if !owner.Known() {
		t.hit.Owner = t.listeners[listener{local, r.Netns}]
	}
	emit(&t.hit)
}

func (t *Table) timeWaitStep(w *bpf.BrinkTimeWait, emit func(Fact)) {
	local, peer := addresses(&w.Tuple)
	t.timeWait = TimeWait{
		Time: t.at(w.At), Event: timeWaitEvents[w.Event], State: State(w.Substate),
		Local: local, Peer: peer, Netns: w.Netns, Hook: Hook(w.Header.Hook),
	}
	emit(&t.timeWait)
}

func (t *Table) changed(s *bpf.BrinkStateChanged, emit func(Fact)) {
	local, peer := addresses(&s.Tuple)
	t.change = StateChange{
		Time: t.at(s.At), Old: State(s.OldState), New: State(s.NewState), Role: Role(s.Role),
		Local: local, Peer: peer, Netns: s.Netns, Owner: ownerOf(&s.Owner), Socket: s.Socket,
	}
	emit(&t.change)
}

func (t *Table) at(boot uint64) time.Time { return t.boot.Add(time.Duration(boot)) }
