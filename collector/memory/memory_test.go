package memory

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"

	"brink/bpf"
	"brink/collector"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

const (
	lab   = 1
	other = 2
)

func TestConnectionsAreCounted(t *testing.T) {
	s := New()
	s.Accept(connection(t, true, lab, 0))
	s.Accept(connection(t, true, lab, unix.ECONNRESET))
	s.Accept(connection(t, false, lab, unix.ECONNREFUSED))
	s.Accept(connection(t, false, other, unix.ETIMEDOUT))
	s.Accept(&collector.Connection{Netns: lab, Preexisting: true}) // whether it had a handshake is not known
	e := s.Take(lab)
	equal(t, "connections", e.Connections, 2)
	equal(t, "failed", e.Failed, 1)
	equal(t, "partial", e.Partial, 1)
	want := map[unix.Errno]int{0: 2, unix.ECONNRESET: 1, unix.ECONNREFUSED: 1}
	if !maps.Equal(e.Errors, want) {
		t.Errorf("errors %v, want %v", e.Errors, want)
	}
	equal(t, "failed elsewhere", s.Take(other).Failed, 1)
}

// Refusals are summed by limit, errno and hook, and told in that order.
func TestHitsAreSummed(t *testing.T) {
	s := New()
	hit := func(limit collector.Limit, errno unix.Errno, hook collector.Hook, count, maximum uint64) {
		s.Accept(&collector.LimitHit{Netns: lab, Limit: limit, Errno: errno, Hook: hook, Count: count, Max: maximum})
	}
	hit(limits.FileDescriptors, unix.EMFILE, 10, 1, 1024)
	hit(limits.EphemeralPorts, unix.EADDRNOTAVAIL, 5, 1, 0)
	hit(limits.EphemeralPorts, unix.EADDRINUSE, 4, 1, 0)
	hit(limits.EphemeralPorts, unix.EADDRNOTAVAIL, 5, 1, 0)
	hit(limits.FileDescriptors, unix.EMFILE, 10, 3, 64)
	hit(limits.FileDescriptors, unix.EMFILE, 9, 1, 0)
	e := s.Take(lab)
	want := []Hit{
		{limits.EphemeralPorts, unix.EADDRINUSE, 4, 1, 0},
		{limits.EphemeralPorts, unix.EADDRNOTAVAIL, 5, 2, 0},
		{limits.FileDescriptors, unix.EMFILE, 9, 1, 0},
		{limits.FileDescriptors, unix.EMFILE, 10, 4, 1024},
	}
	if !slices.Equal(e.Hits, want) {
		t.Errorf("hits %v, want %v", e.Hits, want)
	}
	equal(t, "of the ports", e.HitsOf(limits.EphemeralPorts), 3)
	equal(t, "of the queue", e.HitsOf(limits.AcceptQueue), 0)
}

// Conflicts are kept whole up to a bound, and counted beyond it.
func TestConflictsAreBounded(t *testing.T) {
	s := New()
	lent := &collector.BindConflict{Netns: lab, Errno: unix.EADDRINUSE, Hook: 4}
	for i := range maxConflicts + 10 {
		lent.Local = netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(i)) // lent, so reused
		s.Accept(lent)
	}
	e := s.Take(lab)
	equal(t, "kept", len(e.Conflicts), maxConflicts)
	equal(t, "the first one's port", e.Conflicts[0].Local.Port(), 0)
	equal(t, "the last one's port", e.Conflicts[maxConflicts-1].Local.Port(), maxConflicts-1)
	equal(t, "hits", fmt.Sprint(e.Hits), fmt.Sprint([]Hit{{limits.BindConflict, unix.EADDRINUSE, 4, maxConflicts + 10, 0}}))
}

func TestTimeWaitsAreCounted(t *testing.T) {
	s := New()
	s.Accept(entered(lab))
	s.Accept(entered(lab))
	s.Accept(&collector.TimeWait{Netns: lab, Event: collector.TimeWaitLeave})
	s.Accept(&collector.StateChange{Netns: lab}) // no evidence of anything
	want := map[collector.TimeWaitEvent]int{collector.TimeWaitEnter: 2, collector.TimeWaitLeave: 1}
	e := s.Take(lab)
	if !maps.Equal(e.TimeWaits, want) {
		t.Errorf("time waits %v, want %v", e.TimeWaits, want)
	}
	equal(t, "turned", e.Turned, 0)
}

// An orphan enters as FIN_WAIT2 and, when its peer's FIN has come, enters
// TIME_WAIT: one timewait socket.
func TestOrphanThatTurnedIsCountedOnce(t *testing.T) {
	s := New()
	s.Accept(entered(lab))
	turned := entered(lab)
	turned.Hook = collector.Hook(bpf.BrinkHookHOOK_TIME_WAIT_REUSE_SYN)
	s.Accept(turned)
	e := s.Take(lab)
	equal(t, "entered", e.TimeWaits[collector.TimeWaitEnter], 1)
	equal(t, "turned", e.Turned, 1)
}

func entered(netns uint32) *collector.TimeWait {
	return &collector.TimeWait{Netns: netns, Event: collector.TimeWaitEnter, Hook: collector.HookTimeWaitEnter}
}

func TestTakeForgets(t *testing.T) {
	s := New()
	s.Accept(entered(lab))
	s.Accept(entered(other))
	equal(t, "first", s.Take(lab).TimeWaits[collector.TimeWaitEnter], 1)
	equal(t, "again", s.Take(lab).TimeWaits[collector.TimeWaitEnter], 0)
	equal(t, "namespaces kept", len(s.evidence), 1)
	equal(t, "the other's", s.Take(other).TimeWaits[collector.TimeWaitEnter], 1)
}

// One goroutine accepts while others take: nothing is counted twice or lost.
func TestTakeWhileAccepting(t *testing.T) {
	const facts, takers = 2000, 4
	s := New()
	var wait sync.WaitGroup
	var mu sync.Mutex
	total := 0
	take := func() {
		e := s.Take(lab)
		mu.Lock()
		defer mu.Unlock()
		total += int(e.HitsOf(limits.FileTable)) + e.TimeWaits[collector.TimeWaitLeave]
	}
	for range takers {
		wait.Go(func() {
			for range 100 {
				take()
			}
		})
	}
	wait.Go(func() {
		for range facts {
			s.Accept(&collector.LimitHit{Netns: lab, Limit: limits.FileTable, Count: 1})
			s.Accept(&collector.TimeWait{Netns: lab, Event: collector.TimeWaitLeave})
		}
	})
	wait.Wait()
	take()
	equal(t, "counted", total, 2*facts)
}

// A run of a million connections costs the memory of a run of one.
func TestCountingDoesNotAllocate(t *testing.T) {
	s := New()
	c := connection(t, true, lab, 0)
	h := &collector.LimitHit{Netns: lab, Limit: limits.FileTable, Count: 1}
	equal(t, "allocations", testing.AllocsPerRun(100, func() { s.Accept(c); s.Accept(h) }), 0)
}

func BenchmarkAccept(b *testing.B) {
	s := New()
	h := &collector.LimitHit{Netns: lab, Limit: limits.FileTable, Count: 1}
	b.ReportAllocs()
	for b.Loop() {
		s.Accept(h)
	}
}

// connection is made from a record: only the table fills in states.
func connection(t testing.TB, established bool, netns uint32, errno unix.Errno) *collector.Connection {
	t.Helper()
	r := bpf.BrinkEndpointEnded{Ended: uint64(3 * time.Second), Error: uint32(errno)}
	r.Header.Kind = bpf.BrinkEventKindEVENT_ENDPOINT_ENDED
	r.Endpoint.Netns = netns
	r.Endpoint.At[bpf.BrinkStageSTAGE_SYN_SENT] = uint64(time.Second)
	if established {
		r.Endpoint.At[bpf.BrinkStageSTAGE_ESTABLISHED] = uint64(2 * time.Second)
	}
	var c collector.Connection
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&r)), unsafe.Sizeof(r))
	if err := collector.NewTable(time.Time{}).Apply(raw, func(f collector.Fact) { c = *f.(*collector.Connection) }); err != nil {
		t.Fatal(err)
	}
	return &c
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
