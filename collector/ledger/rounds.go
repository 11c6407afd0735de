package ledger

import (
	"slices"
	"time"
)

// The rounds through the namespaces. What a reading says is brought into an
// account by open, look and settle, which do no I/O.

// Why an account has no last reading.
const (
	isGone   = "the namespace is gone"
	notFound = "the namespace is gone, or no process is left in it"
)

// Begin opens an account for each namespace, with what it has by now. Facts of
// earlier times do not count, so it may be called once facts are recorded.
func (l *Ledger) Begin(namespaces map[uint32]string) {
	if l.o.Filtered != "" {
		return
	}
	visit(l.wanted(namespaces), func(netns uint32) {
		if r, err := read(time.Now(), hasSome); err == nil {
			l.open(netns, r)
		}
	})
}

// hasSome lists the timewait sockets alone, if there are any.
func hasSome(c Counters) (list, others bool) { return c.Tw > 0, false }

func (l *Ledger) open(netns uint32, r Reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(netns).open(r)
}

// Look notices which namespaces went, and which are others under the number of
// one that went. Call it every second or so.
func (l *Ledger) Look(namespaces map[uint32]string) {
	if l.o.Filtered != "" {
		return
	}
	visit(l.touched(namespaces), func(netns uint32) {
		l.look(netns, Reading{At: time.Now(), Cookie: cookie(), FinTimeout: finTimeout()})
	})
	l.miss(namespaces, time.Now())
}

// touched are the namespaces that facts came from since the last look.
func (l *Ledger) touched(namespaces map[uint32]string) map[uint32]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := map[uint32]string{}
	for netns, a := range l.accounts {
		if path := namespaces[netns]; a.touched && path != "" {
			found[netns] = path
		}
	}
	return found
}

// look identifies a namespace. What came from it since the look before is
// counted where it was: to which of two namespaces of one number it belongs is
// not known.
func (l *Ledger) look(netns uint32, r Reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(netns)
	if a.cookie != 0 && r.Cookie != a.cookie {
		l.archive(a, isGone)
		a = l.account(netns)
		a.heir = true
	}
	a.cookie, a.finTimeout, a.touched = r.Cookie, r.FinTimeout, false
}

// miss archives the accounts of the namespaces that were not found for long.
func (l *Ledger) miss(namespaces map[uint32]string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for netns, a := range l.accounts {
		switch {
		case namespaces[netns] != "":
			a.missed = time.Time{}
		case a.missed.IsZero():
			a.missed = now
		case now.Sub(a.missed) > absence:
			l.archive(a, notFound)
		}
	}
}

// End takes the last reading of each namespace. Facts of later times no longer
// count; those of earlier ones do until Accounts is called.
func (l *Ledger) End(namespaces map[uint32]string) {
	l.ended(time.Now())
	visit(l.wanted(namespaces), func(netns uint32) {
		at := time.Now()
		l.cut(netns, at)
		if r, err := read(at, func(c Counters) (bool, bool) { return l.lists(netns, c) }); err == nil {
			l.settle(netns, r)
		}
	})
	l.closeUnread()
}

// closeUnread is for what could not be visited. Some of its facts may be still
// to come.
func (l *Ledger) closeUnread() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.accounts {
		if l.o.Filtered == "" && a.settled == nil {
			a.closed = notFound
		}
	}
}

// ended is for the accounts that get no reading.
func (l *Ledger) ended(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.accounts {
		a.until = at
	}
}

// cut ends the time that an account covers.
func (l *Ledger) cut(netns uint32, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(netns).until = at
}

// lists says whether a namespace's sockets are wanted: where their ends are not
// told, and anything happened. Not all of its facts may be here yet.
func (l *Ledger) lists(netns uint32, c Counters) (list, others bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(netns)
	happened := len(a.stays) > 0 || c != a.opened.Counters
	return !l.o.Hooked && happened, !l.o.Hooked && happened
}

func (l *Ledger) settle(netns uint32, r Reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(netns)
	if a.cookie != 0 && r.Cookie != a.cookie || r.Counters.since(a.opened.Counters).fell() {
		l.archive(a, isGone)
		return
	}
	a.settled, a.finTimeout = &r, r.FinTimeout
}

func (l *Ledger) wanted(namespaces map[uint32]string) map[uint32]string {
	wanted := map[uint32]string{}
	for netns, path := range namespaces {
		if l.o.Filtered == "" && (len(l.o.Netns) == 0 || slices.Contains(l.o.Netns, netns)) {
			wanted[netns] = path
		}
	}
	return wanted
}
