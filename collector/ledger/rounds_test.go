package ledger

import "testing"

// TestNumberGivenAgain: a namespace went, and the next one got its number.
func TestNumberGivenAgain(t *testing.T) {
	l := New(Options{CountsEntries: true})
	l.open(netns, reading(0, Counters{Tw: 1, TW: 1}, 1))
	l.Accept(enter(1, 11))
	next := reading(2, Counters{})
	next.Cookie = 8
	l.look(netns, next)
	l.Accept(enter(3, 12))
	last := reading(4, Counters{Tw: 1, TW: 1}, 12)
	last.Cookie = 8
	old := l.end(last)
	if old.Kernel != nil || old.LeftEarly != 2 || old.Before != 1 {
		t.Errorf("the one that went: %+v", old)
	}
	check(t, l.Accounts()[1], Figures{Entered: 1})
}

// TestCountersFell is how it shows on kernels without cookies.
func TestCountersFell(t *testing.T) {
	l := New(Options{})
	old := reading(0, Counters{TW: 5})
	old.Cookie = 0
	l.open(netns, old)
	l.Accept(enter(1, 11))
	last := reading(4, Counters{})
	last.Cookie = 0
	if a := l.end(last); a.Kernel != nil || a.Reason != "no balance: the namespace is gone" {
		t.Errorf("%+v", a)
	}
}

func TestNamespaceNotFound(t *testing.T) {
	l := New(Options{CountsEntries: true})
	l.Accept(enter(1, 1))
	l.miss(nil, at(2))
	l.miss(nil, at(3))
	if a := l.Accounts()[0]; a.Kernel != nil || a.LeftEarly != 0 || a.Reason == "" {
		t.Errorf("too soon: %+v", a)
	}
	l.miss(nil, at(200))
	if a := l.Accounts()[0]; len(l.accounts) != 0 || a.LeftEarly != 1 {
		t.Errorf("%+v", a)
	}
	if l.room.taken != 0 {
		t.Errorf("%d stays are kept", l.room.taken)
	}
}

// TestGoneAtTheEnd: what is not there any more has no timewait sockets.
func TestGoneAtTheEnd(t *testing.T) {
	l := New(Options{CountsEntries: true})
	l.Accept(enter(1, 1))
	l.End(nil)
	l.Accept(enter(2, 2)) // told late
	if a := l.Accounts(); len(a) != 1 || a[0].Entered != 2 || a[0].LeftEarly+a[0].LeftTimer != 2 || a[0].Now() != 0 || a[0].Kernel != nil {
		t.Errorf("%+v", a)
	}
}

func TestArchiveIsBounded(t *testing.T) {
	l := New(Options{})
	for n := range uint32(maxArchived + 3) {
		f := enter(1, 1)
		f.Netns = n + 1
		l.Accept(f)
		l.archive(l.accounts[n+1], "the namespace is gone")
	}
	if n := len(l.Accounts()); n != maxArchived || l.Dropped() != 3 {
		t.Errorf("%d accounts, %d dropped", n, l.Dropped())
	}
}

func TestFiltered(t *testing.T) {
	l := New(Options{Filtered: "--port"})
	l.Begin(Namespaces())
	l.Accept(enter(1, 1))
	l.End(Namespaces())
	a := l.Accounts()
	if len(a) != 1 || a[0].Kernel != nil || a[0].Entered != 1 || a[0].Reason == "" {
		t.Errorf("%+v", a)
	}
}
