package ledger

import "brink/collector"

// Figures are an account's, all but those that follow from them. Overflowed
// are no part of the sum: they never entered.
type Figures struct {
	Before                   int64 // when the ledger began
	Entered, EnteredFinWait2 int64 // as a true TIME_WAIT, and as an orphan's kind
	Turned                   int64 // from that to a true one
	LeftTimer, LeftEarly     int64 // early: by a RST or data, or with its namespace
	ReusedConnect, ReusedSYN int64
	Overflowed               int64
}

// Now is how many there should be.
func (f *Figures) Now() int64 {
	return f.Before + f.Entered + f.EnteredFinWait2 - f.LeftTimer - f.LeftEarly - f.ReusedConnect - f.ReusedSYN
}

// A Source says where a figure is from.
type Source string

// The sources: told by the kernel's functions or tracepoints, one by one; a
// counter of the kernel's; concluded from times, tuples and sock_diag.
const (
	ByHook    Source = "hook"
	ByCounter Source = "counter"
	Inferred  Source = "inferred"
)

// Sources are those of the figures that are not by hook on every rung.
type Sources struct {
	Turned, LeftTimer, LeftEarly, ReusedConnect, ReusedSYN Source
}

// Kernel is what the kernel says, since the ledger began.
type Kernel struct {
	Now           int64
	Entered       int64 // TW + TWKilled, where CountsEntries
	LeftTimer     int64 // TW + TWKilled, where not
	ReusedConnect int64
	Overflowed    int64
}

// A Difference is the ledger's figure less the kernel's, for a figure that the
// ledger has by other means than that counter. 0 is the aim.
type Difference struct {
	Figure string
	By     int64
}

// Account is one namespace's, balanced.
type Account struct {
	Netns uint32
	Figures
	By            Sources
	CountsEntries bool

	// Kernel and Differences are there where the kernel could be asked; "now" is
	// the first difference.
	Kernel      *Kernel
	Differences []Difference
	// Reason says why there is no balance, or why it does not come out even.
	Reason string

	Destinations []Destination // the largest
	Other        Destination   // all others together
}

// shownDestinations are those that an account lists.
const shownDestinations = 10

func (a *account) balance() Account {
	b := Account{Netns: a.netns, CountsEntries: a.o.CountsEntries, By: a.sources()}
	if a.settled == nil {
		a.sweep(a.until)
		if a.closed != "" {
			a.close(a.closed)
		}
		b.Figures = a.alone()
	} else {
		a.reconcile(a.settled)
		k := a.settled.Counters.since(a.opened.Counters)
		b.Figures, b.Kernel = a.with(k), a.kernel(k)
		b.Differences = a.differences(&b.Figures, b.Kernel)
	}
	b.Reason = a.reason(b.Differences)
	b.Destinations, b.Other = a.to.top(shownDestinations)
	return b
}

// reconcile finds out which sockets the kernel no longer has. It may be done
// again: those that are left are there.
func (a *account) reconcile(r *Reading) {
	if a.o.Hooked {
		return
	}
	if !r.listed {
		a.sweep(r.At)
		return
	}
	a.strangers = int64(len(r.timeWaits))
	for key, s := range a.stays {
		tw, there := r.timeWaits[key]
		switch {
		case there:
			a.strangers--
			a.seen(key, s, tw.state)
		case a.due(s, r.At):
			a.gone.timer++
			a.remove(key, s)
		default:
			a.wentBeforeItsTime(key, s, r)
		}
	}
}

// seen: a turn that nobody told, because the peer is elsewhere, shows at least
// as long as the socket is there.
func (a *account) seen(key tuple, s stay, state collector.State) {
	if !s.fin || state != collector.TimeWaitState {
		return
	}
	a.figures.Turned++
	s.fin = false
	a.stays[key] = s
}

func (a *account) wentBeforeItsTime(key tuple, s stay, r *Reading) {
	if _, taken := r.others[key]; taken {
		a.gone.toOpen++
	} else {
		a.gone.early++
	}
	a.remove(key, s)
}

// alone are the figures without the kernel's.
func (a *account) alone() Figures {
	f := a.figures
	if !a.o.Hooked {
		f.LeftTimer, f.LeftEarly = a.gone.timer, a.gone.early
		f.ReusedConnect, f.ReusedSYN = a.gone.toClient, a.gone.toPeer
	}
	return f
}

// with completes the figures by what the kernel counted.
func (a *account) with(k Counters) Figures {
	f, g := a.alone(), a.gone
	if a.o.Hooked {
		return f
	}
	f.ReusedConnect = k.TWRecycled
	byConnect := max(0, k.TWRecycled-g.toClient)
	f.ReusedSYN += max(0, g.toOpen-byConnect)
	// a connect() whose connection was not seen on that tuple
	unseen := max(0, byConnect-g.toOpen)
	early := min(unseen, f.LeftEarly)
	f.LeftEarly -= early
	f.LeftTimer -= min(unseen-early, f.LeftTimer)
	// a client that came on the tuple after the timewait socket had gone
	f.LeftEarly += max(0, g.toClient-k.TWRecycled)
	if !a.o.CountsEntries {
		all := f.LeftTimer + f.LeftEarly
		f.LeftTimer = min(k.TW+k.TWKilled, all)
		f.LeftEarly = all - f.LeftTimer
	}
	return f
}

func (a *account) sources() Sources {
	switch {
	case a.o.Hooked:
		return Sources{ByHook, ByHook, Inferred, ByHook, ByHook}
	case a.settled == nil:
		return Sources{Inferred, Inferred, Inferred, Inferred, Inferred}
	case !a.o.CountsEntries:
		return Sources{Inferred, ByCounter, Inferred, ByCounter, Inferred}
	}
	return Sources{Inferred, Inferred, Inferred, ByCounter, Inferred}
}

func (a *account) kernel(k Counters) *Kernel {
	kernel := &Kernel{Now: k.Tw, ReusedConnect: k.TWRecycled, Overflowed: k.TCPTimeWaitOverflow}
	if a.o.CountsEntries {
		kernel.Entered = k.TW + k.TWKilled
	} else {
		kernel.LeftTimer = k.TW + k.TWKilled
	}
	return kernel
}

func (a *account) differences(f *Figures, k *Kernel) []Difference {
	all := []Difference{{"now", f.Now() - k.Now}, {"overflowed", f.Overflowed - k.Overflowed}}
	if a.o.CountsEntries {
		all = append(all, Difference{"entered", f.Entered + f.EnteredFinWait2 - k.Entered})
	}
	if a.o.Hooked {
		all = append(all, Difference{"reused_connect", f.ReusedConnect - k.ReusedConnect})
		if !a.o.CountsEntries {
			all = append(all, Difference{"left_timer", f.LeftTimer - k.LeftTimer})
		}
	}
	return all
}
