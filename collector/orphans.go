package collector

import (
	"net/netip"

	"brink/bpf"
)

// orphans are tuples that a timewait socket of kind fin_wait_2 holds. Such a
// socket turns into a true TIME_WAIT when the peer's FIN comes, inside
// tcp_timewait_state_process and without a tracepoint. Where that function
// cannot be hooked and the peer is on this host, in the same namespace, the
// peer's own end tells: LAST_ACK to CLOSE without an error means that its FIN
// was acknowledged, and nobody but the timewait socket was there to do it.
type orphans map[orphan]Owner

type orphan struct {
	local, peer netip.AddrPort
	netns       uint32
}

// maxOrphans bounds them; beyond it the turn is not told.
const maxOrphans = 1 << 16

// InferTurns has the table tell when an orphan's timewait socket turned into
// TIME_WAIT, where no hook does.
func (t *Table) InferTurns() { t.orphans = orphans{} }

func (o orphans) add(c *Connection) {
	if o != nil && len(o) < maxOrphans {
		o[orphan{c.Local, c.Peer, c.Netns}] = c.Owner
	}
}

// turned reports whether the end of c, the peer, made an orphan's timewait
// socket turn, and whose it was.
func (o orphans) turned(c *Connection, last State) (Owner, bool) {
	if len(o) == 0 {
		return Owner{}, false
	}
	key := orphan{c.Peer, c.Local, c.Netns}
	owner, ok := o[key]
	if ok {
		delete(o, key)
	}
	return owner, ok && last == LastAck && c.Errno == 0
}

func (t *Table) tellTurn(c *Connection, e *bpf.BrinkEndpointEnded, emit func(Fact)) {
	owner, ok := t.orphans.turned(c, State(e.LastState))
	if !ok {
		return
	}
	t.timeWait = TimeWait{
		Time: c.End, Event: TimeWaitEnter, State: TimeWaitState,
		Local: c.Peer, Peer: c.Local, Netns: c.Netns, Owner: owner, Hook: c.Hook,
	}
	emit(&t.timeWait)
}
