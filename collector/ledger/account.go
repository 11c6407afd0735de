package ledger

import (
	"time"

	"brink/collector"

	"golang.org/x/sys/unix"
)

// TCP_TIMEWAIT_LEN, include/net/tcp.h; the life of an orphan's kind is the
// namespace's tcp_fin_timeout (or its TCP_LINGER2, which is not known).
const timeWaitLength = 60 * time.Second

// A jiffy is at most 10 ms, and a timer may be set within one. The timer wheel
// on the other hand lets a timer of a minute be up to an eighth late.
const (
	earliness = 20 * time.Millisecond
	lateness  = 10 * time.Second
)

// account is one namespace's books. What the hooks tell is in figures; where
// they do not tell of ends, what is found out is in gone.
type account struct {
	netns      uint32
	o          *Options
	cookie     uint64
	finTimeout time.Duration
	opened     Reading   // zero for a namespace younger than the ledger
	settled    *Reading  // the last one
	until      time.Time // later facts do not count; zero: all do

	figures Figures
	gone    gone
	stays   map[tuple]stay
	room    *room // shared by all accounts
	swept   time.Time
	to      destinations

	untracked int64 // entries that found no room
	strangers int64 // sockets of the kernel's that the ledger does not know

	touched bool      // a fact came since the last look
	heir    bool      // of the number, and of facts, of a namespace that went
	missed  time.Time // since when the namespace is not found
	closed  string    // why there will be no reading
}

// room is what the stays of all accounts take.
type room struct {
	taken int
	ports [1 << 16]uint32 // by local port: most connections need no further look
}

// stay is one timewait socket.
type stay struct {
	since  int64 // wall clock, ns: when its timer was set, as far as is known
	to     *row
	port   uint16 // local
	fin    bool   // of kind fin_wait_2
	before bool   // older than the ledger; since when is not known
}

// gone counts the ends that no hook told of.
type gone struct {
	timer, early     int64
	toClient, toPeer int64 // to a connection whose end was told
	toOpen           int64 // to one that is open still: by connect or SYN, either
}

func (a *account) covers(t time.Time) bool {
	return !t.Before(a.opened.At) && (a.until.IsZero() || !t.After(a.until))
}

// idle: nothing to tell of.
func (a *account) idle() bool {
	if a.figures != (Figures{}) || a.gone != (gone{}) || len(a.stays) > 0 {
		return false
	}
	return a.opened.At.IsZero() || a.settled == nil || a.settled.Counters == a.opened.Counters && a.opened.Counters.Tw == 0
}

func (a *account) open(r Reading) {
	a.opened, a.cookie, a.finTimeout = r, r.Cookie, r.FinTimeout
	a.figures.Before = r.Counters.Tw
	for key, tw := range r.timeWaits {
		a.put(key, stay{
			since: r.At.UnixNano(), to: a.to.of(tw.to), port: tw.port, fin: tw.state == collector.FinWait2, before: true,
		})
	}
	a.opened.timeWaits = nil
}

func (a *account) entered(key tuple, t *collector.TimeWait, role collector.Role) {
	fin := t.State == collector.FinWait2
	if fin {
		a.figures.EnteredFinWait2++
	} else {
		a.figures.Entered++
	}
	to := a.to.of(destinationOf(role, t.Local, t.Peer))
	to.entered++
	if old, there := a.stays[key]; there { // its end was not told
		a.endUntold(key, old, t.Time)
	}
	a.sweepIfFull(t.Time)
	a.put(key, stay{since: t.Time.UnixNano(), to: to, port: t.Local.Port(), fin: fin})
}

func (a *account) put(key tuple, s stay) {
	if a.room.taken >= maxStays {
		a.untracked++
		return
	}
	a.room.taken++
	a.room.ports[s.port]++
	s.to.now++
	a.stays[key] = s
}

func (a *account) remove(key tuple, s stay) {
	delete(a.stays, key)
	a.room.taken--
	a.room.ports[s.port]--
	s.to.leave()
}

// turned: an orphan's kind became a true one; its timer began anew.
func (a *account) turned(key tuple, t *collector.TimeWait) {
	a.figures.Turned++
	if s, there := a.stays[key]; there {
		s.fin, s.before, s.since = false, false, t.Time.UnixNano()
		a.stays[key] = s
	}
}

// left is an end that a hook told of.
func (a *account) left(key tuple, t *collector.TimeWait) {
	if !a.o.Hooked {
		return // without its kin one hook tells half a story
	}
	s, there := a.stays[key]
	switch {
	case t.Event == collector.TimeWaitReuseConnect:
		a.figures.ReusedConnect++
	case t.Event == collector.TimeWaitReuseSYN:
		a.figures.ReusedSYN++
	case there && !a.due(s, t.Time):
		a.figures.LeftEarly++
	default:
		a.figures.LeftTimer++
	}
	if there {
		a.remove(key, s)
	}
}

// due reports whether a socket's timer may have run out by then.
func (a *account) due(s stay, by time.Time) bool {
	return s.before || by.UnixNano()-s.since >= int64(a.length(s)-earliness)
}

// length is how long a timewait socket is left alone. With a tcp_fin_timeout of
// more than 60 s the orphan stays a real socket for what is above (tcp_close).
func (a *account) length(s stay) time.Duration {
	switch {
	case !s.fin:
		return timeWaitLength
	case a.finTimeout > timeWaitLength:
		return a.finTimeout - timeWaitLength
	}
	return a.finTimeout
}

// tookOver looks whether a connection began on the tuple of a timewait socket.
// A connect() that was refused the tuple did not get it.
func (a *account) tookOver(c *collector.Connection) {
	if a.room.ports[c.Local.Port()] == 0 {
		return
	}
	key := tupleOf(c.Local, c.Peer)
	s, there := a.stays[key]
	if !there || c.Start.IsZero() || c.Start.UnixNano() <= s.since || c.Errno == unix.EADDRNOTAVAIL {
		return
	}
	switch {
	case a.overdue(s, c.Start):
		a.gone.timer++
	case c.Role == collector.RoleServer:
		a.gone.toPeer++
	default:
		a.gone.toClient++
	}
	a.remove(key, s)
}

// overdue reports whether a socket's timer must have run out by then.
func (a *account) overdue(s stay, by time.Time) bool {
	return by.UnixNano()-s.since >= int64(a.length(s)+lateness)
}

// endUntold: a second entry on one tuple. The first socket must have ended.
func (a *account) endUntold(key tuple, s stay, by time.Time) {
	if a.due(s, by) {
		a.gone.timer++
	} else {
		a.gone.early++
	}
	a.remove(key, s)
}

// sweepIfFull makes room, at most once a second.
func (a *account) sweepIfFull(now time.Time) {
	if a.room.taken >= maxStays && now.Sub(a.swept) > time.Second {
		a.swept = now
		a.sweep(now)
	}
}

// sweep removes what must have ended by its timer.
func (a *account) sweep(now time.Time) {
	if now.IsZero() {
		return
	}
	for key, s := range a.stays {
		if a.overdue(s, now) {
			a.gone.timer++
			a.remove(key, s)
		}
	}
}

// close ends an account that will have no reading.
func (a *account) close(why string) {
	a.closed = why
	a.gone.early += int64(len(a.stays))
	for key, s := range a.stays {
		a.remove(key, s)
	}
}
