package ledger

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"brink/collector"
)

// Options for a ledger. The zero value keeps the books of the whole host on a
// kernel before 5.18 that tells of entries alone.
type Options struct {
	// Hooked: every end of a timewait socket is told, with who reused it.
	Hooked bool
	// CountsEntries is what CountsEntries says of this kernel.
	CountsEntries bool
	// Filtered says which filter lets only a part of the facts through, as "a
	// filter by port": the books cannot balance then. Empty: all come.
	Filtered string
	// Netns are the only namespaces that facts come from; none is all of them.
	Netns []uint32
	// Lost is how many events are known not to have been told; nil is none.
	Lost func() uint64
}

const (
	// maxStays bounds the tuples kept, of all namespaces: as many timewait
	// sockets as tcp_max_tw_buckets allows by default on a large host.
	maxStays = 1 << 18
	// maxArchived bounds the accounts of namespaces that went.
	maxArchived = 256
	// absence is how long a namespace without a process is waited for: no
	// timewait socket that nobody touches lives longer.
	absence = 2 * time.Minute
)

// Ledger is a collector.Sink. Begin and End read the kernel's side, before the
// first fact comes and when no further one shall count.
type Ledger struct {
	o Options

	mu       sync.Mutex // guards what follows
	accounts map[uint32]*account
	archived []*account
	room     room
	dropped  int
	last     end
}

// end is the connection told last: a timewait socket's entry follows the end of
// its connection, and only that knows the role.
type end struct {
	local, peer netip.AddrPort
	netns       uint32
	role        collector.Role
}

// New makes a ledger.
func New(o Options) *Ledger { return &Ledger{o: o, accounts: map[uint32]*account{}} }

// Accept implements collector.Sink.
func (l *Ledger) Accept(f collector.Fact) {
	switch f := f.(type) {
	case *collector.Connection:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.connection(f)
	case *collector.TimeWait:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.timeWait(f)
	}
}

func (l *Ledger) connection(c *collector.Connection) {
	l.last = end{c.Local, c.Peer, c.Netns, c.Role}
	if a := l.accounts[c.Netns]; a != nil && !l.o.Hooked {
		a.tookOver(c)
	}
}

func (l *Ledger) timeWait(t *collector.TimeWait) {
	a := l.account(t.Netns)
	if !a.covers(t.Time) {
		return
	}
	a.touched = true
	key := tupleOf(t.Local, t.Peer)
	switch {
	case t.Event == collector.TimeWaitOverflow:
		a.figures.Overflowed++
	case t.Event != collector.TimeWaitEnter:
		a.left(key, t)
	case t.Hook != collector.HookTimeWaitEnter:
		a.turned(key, t) // told by any other hook, an entry is a turn
	default:
		a.entered(key, t, l.roleOf(t))
	}
}

func (l *Ledger) roleOf(t *collector.TimeWait) collector.Role {
	if l.last.local == t.Local && l.last.peer == t.Peer && l.last.netns == t.Netns {
		return l.last.role
	}
	return collector.RoleUnknown
}

// account makes the account of a namespace that was not there at Begin: a young
// one, whose counters all began at zero.
func (l *Ledger) account(netns uint32) *account {
	a := l.accounts[netns]
	if a == nil {
		a = &account{netns: netns, o: &l.o, room: &l.room, stays: map[tuple]stay{}}
		l.accounts[netns] = a
	}
	return a
}

// archive closes the account of a namespace that went. Its timewait sockets
// went with it (inet_twsk_purge, tcp_sk_exit_batch).
func (l *Ledger) archive(a *account, why string) {
	delete(l.accounts, a.netns)
	a.close(why)
	if a.idle() {
		return
	}
	if len(l.archived) == maxArchived {
		l.archived = slices.Delete(l.archived, 0, 1)
		l.dropped++
	}
	l.archived = append(l.archived, a)
}

// Dropped is how many accounts of namespaces that went are no longer kept.
func (l *Ledger) Dropped() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// Accounts are those with anything in them, those of namespaces that went first.
func (l *Ledger) Accounts() []Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Account
	for _, a := range l.archived {
		all = append(all, a.balance())
	}
	there := len(all)
	for _, a := range l.accounts {
		if !a.idle() {
			all = append(all, a.balance())
		}
	}
	slices.SortFunc(all[there:], func(a, b Account) int { return cmp.Compare(a.Netns, b.Netns) })
	return all
}
