package otlp

import (
	"container/list"
	"net/netip"
	"time"

	"brink/collector"
)

// lasting is TCP_TIMEWAIT_LEN, fixed in every kernel. The one of kind fin_wait_2
// lasts tcp_fin_timeout, whose default it is too.
const lasting = 60 * time.Second

// patienceWithTimers is how late a leaving may be told: the kernel's timers are
// exact to an eighth of their time.
const patienceWithTimers = lasting / 4

// maxOpenTimeWaits bounds what is remembered of tuples that have not left
// TIME_WAIT yet: at 60 seconds each, 1,000 a second fit.
const maxOpenTimeWaits = 1 << 16

// tuple is what a connection and the timewait socket after it have in common.
type tuple struct {
	netns       uint32
	local, peer netip.AddrPort
}

func tupleOf(f *collector.TimeWait) tuple { return tuple{f.Netns, f.Local, f.Peer} }

// ended is the connection that was told last. The collector tells that a tuple
// entered TIME_WAIT at once after the end of its connection, so this one is
// all that has to be remembered to name the parent.
type ended struct {
	tuple tuple
	place place
	start time.Time
}

// timeWait is a tuple's second life, as far as it is known.
type timeWait struct {
	enter  collector.TimeWait // the step that began it
	turned time.Time          // when one of kind fin_wait_2 turned into a true one
	place  place              // below the connection, if that is known
	free   time.Time          // when the tuple is, if nothing is told of it
}

// unwanted: the connection was sampled out, and this goes with it.
func (t *timeWait) unwanted() bool { return !t.place.sampled }

// timeWaits holds the open ones, the oldest first, up to a limit: a span must
// have its end before it is exported, and leaving comes a minute after entering.
type timeWaits struct {
	open    map[tuple]*list.Element // of *timeWait
	oldest  *list.List
	limit   int
	dropped uint64 // spans that will never be, for want of room
}

func newTimeWaits(limit int) timeWaits {
	return timeWaits{open: map[tuple]*list.Element{}, oldest: list.New(), limit: limit}
}

// add notes that a timewait socket took a tuple over, which had none. One of kind
// fin_wait_2 is remembered also when it is unwanted, so that its turning is not
// mistaken for a new one.
func (w *timeWaits) add(t *timeWait) {
	if t.unwanted() && t.enter.State != collector.FinWait2 {
		return
	}
	if len(w.open) >= w.limit {
		if !w.take(tupleOf(&w.oldest.Front().Value.(*timeWait).enter)).unwanted() {
			w.dropped++
		}
	}
	w.open[tupleOf(&t.enter)] = w.oldest.PushBack(t)
}

// turn notes that one of kind fin_wait_2 turned true, and reports whether there
// was one.
func (w *timeWaits) turn(f *collector.TimeWait) bool {
	element, ok := w.open[tupleOf(f)]
	if !ok || f.State != collector.TimeWaitState {
		return false
	}
	t := element.Value.(*timeWait)
	if t.enter.State != collector.FinWait2 {
		return false
	}
	t.turned, t.enter.State, t.free = f.Time, f.State, f.Time.Add(lasting)
	w.oldest.MoveToBack(element)
	return true
}

// overdue takes the oldest one if its tuple has been free for long. They are in
// the order of that time.
func (w *timeWaits) overdue(now time.Time) *timeWait {
	oldest := w.oldest.Front()
	if oldest == nil || now.Before(oldest.Value.(*timeWait).free.Add(patienceWithTimers)) {
		return nil
	}
	return w.take(tupleOf(&oldest.Value.(*timeWait).enter))
}

// take removes and returns the open one of a tuple, or nil.
func (w *timeWaits) take(of tuple) *timeWait {
	element, ok := w.open[of]
	if !ok {
		return nil
	}
	delete(w.open, of)
	return w.oldest.Remove(element).(*timeWait)
}
