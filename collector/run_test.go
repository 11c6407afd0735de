package collector

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"brink/bpf"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

// fakeSource is a ring buffer that wakes nobody: Next looks when it is called,
// when it is flushed, and when its time is up. What it lends it overwrites.
type fakeSource struct {
	mu      sync.Mutex
	records [][]byte
	counts  bpf.Counts
	failure error // of Next, after the last record
	broken  error // of Counts
	flushed chan struct{}
	lent    []byte
	storms  map[bpf.BrinkStormKey]bpf.BrinkStorm
}

func newSource(records ...[]byte) *fakeSource {
	s := &fakeSource{flushed: make(chan struct{}, 1)}
	s.tell(records...)
	return s
}

func (s *fakeSource) tell(records ...[]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = append(s.records, records...)
	s.counts.Emitted += uint64(len(records))
}

func (s *fakeSource) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
}

func (s *fakeSource) Next() ([]byte, error) {
	if record, err := s.look(); !errors.Is(err, os.ErrDeadlineExceeded) {
		return record, err
	}
	select {
	case <-s.flushed:
	case <-time.After(100 * time.Millisecond):
	}
	return s.look()
}

func (s *fakeSource) look() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.records) > 0 {
		s.lent = append(s.lent[:0], s.records[0]...)
		s.records = s.records[1:]
		return s.lent, nil
	}
	if s.failure != nil {
		return nil, s.failure
	}
	return nil, os.ErrDeadlineExceeded
}

func (s *fakeSource) Flush() error {
	select {
	case s.flushed <- struct{}{}:
	default:
	}
	return nil
}

func (s *fakeSource) Counts() (bpf.Counts, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts, s.broken
}

func (s *fakeSource) Storms() map[bpf.BrinkStormKey]bpf.BrinkStorm {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.storms
}

// sinkFunc is a sink of one function.
type sinkFunc func(Fact)

func (f sinkFunc) Accept(fact Fact) { f(fact) }

// keeper is a sink that keeps what it is lent.
type keeper struct {
	mu    sync.Mutex
	facts []Fact
}

func (k *keeper) Accept(f Fact) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.facts = append(k.facts, kept(f))
}

func (k *keeper) kinds() (kinds string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.facts {
		kinds += string(f.Kind()) + " "
	}
	return kinds
}

// running starts Run inside a bubble, whose end waits for every goroutine, so
// that a leaked one fails the test. The stop function returns Run's error.
func running(c *Collector) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return func() error { cancel(); return <-ended }
}

// bubble runs a test on a clock of its own and fails on goroutines that stay.
func bubble(t *testing.T, source *fakeSource, test func(*testing.T, *Collector, *keeper)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		source.flushed = make(chan struct{}, 1) // channels belong to their bubble
		k := &keeper{}
		test(t, New(source, nil, k), k)
	})
}

func TestFactsArriveInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		first := sinkFunc(func(f Fact) { order = append(order, "1 "+string(f.Kind())) })
		second := sinkFunc(func(f Fact) { order = append(order, "2 "+string(f.Kind())) })
		source := newSource(
			stateChange(SynSent, Established, bpf.BrinkRoleROLE_CLIENT),
			clientLife(func(r *bpf.BrinkEndpointEnded) { r.Endpoint.Flags = flagTimeWait }),
			refusal(limits.FileTable, unix.ENFILE))
		source.end(os.ErrClosed)
		if err := New(source, nil, first, second).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{"1 state", "2 state", "1 connection", "2 connection",
			"1 time_wait", "2 time_wait", "1 limit_hit", "2 limit_hit"}
		if len(order) != len(want) {
			t.Fatalf("%q, want %q", order, want)
		}
		for i := range want {
			equal(t, "delivery", order[i], want[i])
		}
	})
}

func TestKnownSocketsAreRecalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, k := newSource(olderLife(99)), &keeper{}
		source.end(os.ErrClosed)
		c := New(source, []Known{{Cookie: 99, Owner: Owner{PID: 5}}}, k)
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "owner", k.facts[0].(*Connection).Owner.PID, 5)
	})
}

// Sync waits for what the kernel has emitted, also where the reader has not
// seen it yet, and for facts that are made elsewhere.
func TestSyncWaitsForEverythingEmitted(t *testing.T) {
	source := newSource()
	bubble(t, source, func(t *testing.T, c *Collector, k *keeper) {
		stop := running(c)
		source.counts.Emitted = 2
		go func() {
			time.Sleep(time.Minute)
			source.mu.Lock()
			source.records = [][]byte{clientLife(), refusal(limits.BindConflict, unix.EADDRINUSE)}
			source.mu.Unlock()
		}()
		before := time.Now()
		if err := c.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(before); waited < time.Minute {
			t.Errorf("it waited %s for what took a minute", waited)
		}
		equal(t, "facts", k.kinds(), "connection bind_conflict ")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSyncDoesNotWaitForTheIdleReader(t *testing.T) {
	source := newSource()
	bubble(t, source, func(t *testing.T, c *Collector, _ *keeper) {
		stop := running(c)
		defer stop()
		synctest.Wait() // Next waits for its 100 ms
		source.tell(clientLife())
		before := time.Now()
		if err := c.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(before); waited > 10*time.Millisecond {
			t.Errorf("Sync took %s", waited)
		}
	})
}

func TestSyncGivesUpWithItsContext(t *testing.T) {
	source := newSource()
	source.counts.Emitted = 1 // and never seen
	bubble(t, source, func(t *testing.T, c *Collector, _ *keeper) {
		stop := running(c)
		defer stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestCancellationDrainsWhatIsLeft(t *testing.T) {
	source := newSource()
	for range 1000 {
		source.tell(clientLife())
	}
	source.tell(refusal(limits.BindConflict, unix.EADDRINUSE))
	bubble(t, source, func(t *testing.T, c *Collector, k *keeper) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Run(ctx); err != nil {
			t.Fatal(err)
		}
		equal(t, "facts", len(k.facts), 1001)
	})
}

// A closed source ends Run, but not before the conflict that is still being
// looked up has been told.
func TestClosedSourceEndsRun(t *testing.T) {
	source := newSource(clientLife(), refusal(limits.BindConflict, unix.EADDRINUSE))
	source.end(os.ErrClosed)
	bubble(t, source, func(t *testing.T, c *Collector, k *keeper) {
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "facts", k.kinds(), "connection bind_conflict ")
	})
}

// At the end there may be more on its way than the channel holds.
func TestEndDoesNotBlockOnAFullChannel(t *testing.T) {
	bubble(t, newSource(), func(t *testing.T, c *Collector, k *keeper) {
		for range cap(c.returned) {
			c.Inject(t.Context(), &LimitHit{})
		}
		for range 3 {
			c.emit(&BindConflict{})
		}
		c.finish()
		equal(t, "facts", len(k.facts), cap(c.returned)+3)
		equal(t, "busy", c.resolver.busy(), false)
	})
}

func TestSourceFailureEndsRun(t *testing.T) {
	broken := errors.New("broken ring")
	source := newSource(clientLife())
	source.end(broken)
	bubble(t, source, func(t *testing.T, c *Collector, k *keeper) {
		if err := c.Run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
		equal(t, "facts", k.kinds(), "connection ")
	})
}

func TestInjectedFactsComeThroughTheOneGoroutine(t *testing.T) {
	bubble(t, newSource(), func(t *testing.T, c *Collector, k *keeper) {
		stop := running(c)
		c.Inject(t.Context(), &LimitHit{Limit: limits.AcceptQueue, Count: 3})
		if err := c.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "facts", k.kinds(), "limit_hit ")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// With nobody to take facts Inject waits until its context is done, and leaves
// nothing for Sync to wait for.
func TestInjectGivesUpWithItsContext(t *testing.T) {
	bubble(t, newSource(), func(t *testing.T, c *Collector, k *keeper) {
		for range cap(c.returned) {
			c.Inject(t.Context(), &LimitHit{})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.Inject(ctx, &LimitHit{})
		c.finish()
		equal(t, "facts", len(k.facts), cap(c.returned))
		equal(t, "busy", c.resolver.busy(), false)
	})
}

func TestSummary(t *testing.T) {
	source := newSource(clientLife(), make([]byte, 24), refusal(limits.None, 0), serverLife())
	source.counts.Lost, source.counts.Untracked, source.counts.Missed = 5, 6, 7
	source.end(os.ErrClosed)
	bubble(t, source, func(t *testing.T, c *Collector, _ *keeper) {
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, err := c.Summary()
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "summary", s, Summary{Events: 2, Undecodable: 2, Lost: 5, Untracked: 6, Missed: 7})
		equal(t, "total", s.Total(), 20)
		source.broken = errors.New("map is gone")
		if _, err := c.Summary(); !errors.Is(err, source.broken) {
			t.Errorf("Summary's error %v", err)
		}
		if err := c.Sync(t.Context()); !errors.Is(err, source.broken) {
			t.Errorf("Sync's error %v", err)
		}
	})
}

// More conflicts at once than the queue holds are counted, not waited for.
func TestResolverCountsWhatItCannotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := make(chan Fact)
		r := newResolver(out)
		taken := 0
		for range resolverQueue + 50 {
			if r.take(&BindConflict{}) {
				taken++
			}
		}
		refused := int(r.refused.Load())
		equal(t, "taken and refused", taken+refused, resolverQueue+50)
		if refused < 49 { // one may be out of the queue and in the resolver's hand
			t.Errorf("%d were refused", refused)
		}
		r.stop()
		for range taken {
			<-out
			r.done()
		}
		<-r.stopped
		equal(t, "busy", r.busy(), false)
	})
}

// BenchmarkCollectorApply is all that happens to a record between the ring and
// the sinks.
func BenchmarkCollectorApply(b *testing.B) {
	c := &Collector{table: NewTable(booted), sinks: []Sink{discard{}}}
	record := clientLife()
	b.ReportAllocs()
	for b.Loop() {
		c.apply(record)
	}
	if c.undecodable.Load() > 0 {
		b.Error("the record is none")
	}
}

type discard struct{}

func (discard) Accept(Fact) {}
