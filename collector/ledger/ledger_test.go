package ledger

import (
	"net/netip"
	"testing"
	"time"

	"brink/collector"

	"golang.org/x/sys/unix"
)

const netns = 4026532000

var (
	noon   = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	server = netip.MustParseAddrPort("10.0.0.2:443")
)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

func client(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(port))
}

// step is a timewait socket's at the client's end, told by the first hook of
// its kind.
func step(seconds float64, event collector.TimeWaitEvent, state collector.State, port int) *collector.TimeWait {
	return &collector.TimeWait{
		Time: at(seconds), Event: event, State: state, Local: client(port), Peer: server,
		Netns: netns, Hook: collector.HookTimeWaitEnter,
	}
}

func enter(seconds float64, port int) *collector.TimeWait {
	return step(seconds, collector.TimeWaitEnter, collector.TimeWaitState, port)
}

func enterFin(seconds float64, port int) *collector.TimeWait {
	return step(seconds, collector.TimeWaitEnter, collector.FinWait2, port)
}

func turn(seconds float64, port int) *collector.TimeWait {
	t := enter(seconds, port)
	t.Hook = collector.HookAcceptQueue
	return t
}

func begun(seconds float64, role collector.Role, port int) *collector.Connection {
	return &collector.Connection{Role: role, Start: at(seconds), Local: client(port), Peer: server, Netns: netns}
}

// reading at a time, with the sockets on these ports listed as true TIME_WAITs.
func reading(seconds float64, c Counters, ports ...int) Reading {
	r := Reading{
		At: at(seconds), Cookie: 7, Counters: c, FinTimeout: 30 * time.Second,
		listed: true, timeWaits: map[tuple]timeWait{}, others: map[tuple]struct{}{},
	}
	for _, port := range ports {
		r.timeWaits[tupleOf(client(port), server)] = timeWait{state: collector.TimeWaitState, port: uint16(port)}
	}
	return r
}

func (l *Ledger) end(r Reading) Account {
	l.cut(netns, r.At)
	l.settle(netns, r)
	return l.Accounts()[0]
}

func check(t *testing.T, a Account, want Figures) {
	t.Helper()
	if a.Figures != want {
		t.Errorf("figures\n%+v, not\n%+v", a.Figures, want)
	}
	if !a.Balanced() || a.Reason != "" {
		t.Errorf("differences %v because %q", a.Differences, a.Reason)
	}
}

func TestEveryEndHooked(t *testing.T) {
	l := New(Options{Hooked: true, CountsEntries: true})
	l.open(netns, reading(0, Counters{Tw: 2, TW: 9}, 1, 2))
	for _, f := range []collector.Fact{
		enter(-1, 3), // before the reading
		enter(1, 11), enter(1, 12), enter(1, 13), enter(1, 14), enter(1, 15), enterFin(1, 16), enterFin(1, 17),
		step(1, collector.TimeWaitOverflow, collector.TimeWaitState, 18),
		turn(2, 16),
		step(2, collector.TimeWaitLeave, collector.TimeWaitState, 1), // no telling how old
		step(3, collector.TimeWaitReuseConnect, collector.TimeWaitState, 11),
		begun(3, collector.RoleClient, 11),
		step(3, collector.TimeWaitReuseSYN, collector.TimeWaitState, 12),
		step(5, collector.TimeWaitLeave, collector.TimeWaitState, 13),
		step(61, collector.TimeWaitLeave, collector.TimeWaitState, 14),
		step(31.1, collector.TimeWaitLeave, collector.FinWait2, 17),
		enter(90, 19), // after the last reading
	} {
		if f, late := f.(*collector.TimeWait); late && f.Time.After(at(80)) {
			l.cut(netns, at(80))
		}
		l.Accept(f)
	}
	a := l.end(reading(80, Counters{Tw: 3, TW: 16, TWRecycled: 1, TCPTimeWaitOverflow: 1}))
	check(t, a, Figures{
		Before: 2, Entered: 5, EnteredFinWait2: 2, Turned: 1,
		LeftTimer: 3, LeftEarly: 1, ReusedConnect: 1, ReusedSYN: 1, Overflowed: 1,
	})
	if a.By.LeftTimer != ByHook || a.By.ReusedSYN != ByHook {
		t.Error(a.By)
	}
}

func TestEndsFoundOut(t *testing.T) {
	l := New(Options{CountsEntries: true})
	l.open(netns, reading(0, Counters{Tw: 2, TW: 9, TWRecycled: 3}, 1, 2))
	for _, f := range []collector.Fact{
		enter(1, 11), enter(1, 12), enter(1, 13), enter(1, 14), enter(1, 15), enter(1, 16), enterFin(1, 17), enterFin(35, 18),
		begun(3, collector.RoleClient, 11), enter(4, 11), // reused by connect, and there again
		begun(3, collector.RoleServer, 12),
		turn(40, 18),
	} {
		l.Accept(f)
	}
	end := reading(50, Counters{Tw: 4, TW: 18, TWRecycled: 4}, 2, 11, 15, 18)
	end.others[tupleOf(client(16), server)] = struct{}{} // open again, and not by connect
	// 13 and 14 went early, 1 and 17 by their timers
	a := l.end(end)
	check(t, a, Figures{
		Before: 2, Entered: 7, EnteredFinWait2: 2, Turned: 1,
		LeftTimer: 2, LeftEarly: 2, ReusedConnect: 1, ReusedSYN: 2,
	})
	if a.By.LeftTimer != Inferred || a.By.ReusedConnect != ByCounter {
		t.Error(a.By)
	}
	if again := l.Accounts()[0]; again.Figures != a.Figures {
		t.Errorf("asked again it says %+v", again.Figures)
	}
}

// TestReusedByWhom: TWRecycled says how many of the tuples that are held again
// were taken by a connect().
func TestReusedByWhom(t *testing.T) {
	for _, c := range []struct {
		name                  string
		recycled              int64
		connect, syn, early   int64
		clients, open, early0 int
	}{
		{"connects, closed again", 2, 2, 0, 0, 2, 0, 0},
		{"connects, open still", 2, 2, 0, 0, 0, 2, 0},
		{"SYNs, open still", 0, 0, 2, 0, 0, 2, 0},
		{"one of each", 1, 1, 1, 0, 0, 2, 0},
		{"a connect whose connection was never told", 1, 1, 0, 0, 0, 0, 1},
		{"a client after a socket that a RST ended", 0, 0, 0, 1, 1, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(Options{CountsEntries: true})
			end := reading(9, Counters{TW: int64(c.clients + c.open + c.early0), TWRecycled: c.recycled})
			port := 1
			for ; port <= c.clients; port++ {
				l.Accept(enter(1, port))
				l.Accept(begun(3, collector.RoleClient, port))
			}
			for range c.open {
				l.Accept(enter(1, port))
				end.others[tupleOf(client(port), server)] = struct{}{}
				port++
			}
			for range c.early0 {
				l.Accept(enter(1, port))
				port++
			}
			check(t, l.end(end), Figures{
				Entered: int64(port - 1), ReusedConnect: c.connect, ReusedSYN: c.syn, LeftEarly: c.early,
			})
		})
	}
}

func TestRefusedTupleIsNotTaken(t *testing.T) {
	l := New(Options{CountsEntries: true})
	l.Accept(enter(1, 1))
	refused := begun(2, collector.RoleClient, 1)
	refused.Errno = unix.EADDRNOTAVAIL
	l.Accept(refused)
	check(t, l.end(reading(3, Counters{Tw: 1, TW: 1}, 1)), Figures{Entered: 1})
}

// TestTurnUntold: the peer is elsewhere, and sock_diag shows the turn.
func TestTurnUntold(t *testing.T) {
	l := New(Options{CountsEntries: true})
	l.Accept(enterFin(1, 1))
	check(t, l.end(reading(3, Counters{Tw: 1, TW: 1}, 1)), Figures{EnteredFinWait2: 1, Turned: 1})
}

// TestBefore518: TW counts what ended by its timer.
func TestBefore518(t *testing.T) {
	l := New(Options{})
	l.open(netns, reading(0, Counters{TW: 100}))
	for port := range 5 {
		l.Accept(enter(1, port))
	}
	a := l.end(reading(62, Counters{Tw: 1, TW: 102, TWKilled: 1}, 4))
	check(t, a, Figures{Entered: 5, LeftTimer: 3, LeftEarly: 1})
	if a.By.LeftTimer != ByCounter || a.Kernel.LeftTimer != 3 {
		t.Error(a.By, a.Kernel)
	}
}

// TestOverflowToldAsEntry is what the ledger is for: a wrong entry shows.
func TestOverflowToldAsEntry(t *testing.T) {
	l := New(Options{CountsEntries: true})
	for port := range 9 {
		l.Accept(enter(1, port))
	}
	a := l.end(reading(2, Counters{Tw: 5, TW: 5, TCPTimeWaitOverflow: 4}, 0, 1, 2, 3, 4))
	if a.Balanced() || a.Difference() != 0 || a.Differences[1].By != -4 || a.Differences[2].By != 4 || a.Reason == "" {
		t.Errorf("differences %v because %q", a.Differences, a.Reason)
	}
}

func TestLostEntryShows(t *testing.T) {
	l := New(Options{CountsEntries: true})
	l.Accept(enter(1, 1))
	a := l.end(reading(2, Counters{Tw: 2, TW: 2}, 1, 2))
	if a.Difference() != -1 || a.Reason != "the namespace may be older than the first that was seen of it; 1 timewait sockets entered unseen" {
		t.Errorf("difference %d because %q", a.Difference(), a.Reason)
	}
}

// TestStaysAreBounded: what finds no room is said, what must have ended makes some.
func TestStaysAreBounded(t *testing.T) {
	l := New(Options{CountsEntries: true})
	wide := func(seconds float64, i int) *collector.TimeWait {
		f := enter(seconds, i%50000)
		f.Peer = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(i / 50000)}), 443)
		return f
	}
	for i := range maxStays + 7 {
		l.Accept(wide(1, i))
	}
	a := l.accounts[netns]
	if len(a.stays) != maxStays || a.untracked != 7 {
		t.Errorf("%d stays, %d untracked", len(a.stays), a.untracked)
	}
	l.Accept(wide(100, maxStays+7))
	if len(a.stays) != 1 || a.gone.timer != maxStays || l.room.taken != 1 {
		t.Errorf("%d stays, %d by timer", len(a.stays), a.gone.timer)
	}
}
