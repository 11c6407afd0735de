package collector

import (
	"context"
	"errors"
	"math"
	"os"
	"sync/atomic"
	"time"

	"brink/bpf"

	"golang.org/x/sys/unix"
)

// A Source gives the kernel's records, one at a time.
type Source interface {
	// Next lends the next record until the next call. os.ErrDeadlineExceeded
	// means that none came for a while, os.ErrClosed that none will.
	Next() ([]byte, error)
	// Flush makes a waiting Next return once what is there has been read.
	Flush() error
	Counts() (bpf.Counts, error)
	// Storms are the refusals that had no record, since the start.
	Storms() map[bpf.BrinkStormKey]bpf.BrinkStorm
}

// Collector is the one goroutine's state: it reads, applies, and hands on.
type Collector struct {
	source Source
	table  *Table
	sinks  []Sink

	// Facts made elsewhere (holders looked up, counters polled) come back to
	// the one goroutine through here.
	returned chan Fact
	resolver *resolver
	storms   storms

	records     atomic.Uint64
	undecodable atomic.Uint64
}

// clockEvery is how often the offset between boot time and the wall clock is
// read again.
const clockEvery = time.Minute

// recordsALook is how many records are read before the time is looked at: to ask
// for it costs more than some of them.
const recordsALook = 256

// New makes a collector; Run starts it. Sinks are called in order.
func New(source Source, known []Known, sinks ...Sink) *Collector {
	c := &Collector{
		source: source, table: NewTable(bootTime()), sinks: sinks,
		returned: make(chan Fact, 1024),
	}
	c.resolver = newResolver(c.returned)
	for _, k := range known {
		c.table.Remember(k)
	}
	return c
}

// InferTurns is Table.InferTurns; call it before Run.
func (c *Collector) InferTurns() { c.table.InferTurns() }

// Run reads until ctx is done or the source is closed, then what the kernel had
// told by that time. Its error is the source's failure.
func (c *Collector) Run(ctx context.Context) error {
	defer c.finish()
	clock, storms := time.Now(), time.Now()
	last := uint64(math.MaxUint64) // how many records there are to read
	for c.records.Load() < last {
		if ctx.Err() != nil && last == math.MaxUint64 {
			counts, err := c.source.Counts()
			if err != nil {
				return err
			}
			last = counts.Emitted
		}
		raw, err := c.source.Next()
		switch {
		case err == nil:
			c.apply(raw)
		case errors.Is(err, os.ErrClosed):
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case ctx.Err() != nil:
			return nil
		}
		c.takeReturned()
		if err == nil && c.records.Load()%recordsALook != 0 {
			continue
		}
		if time.Since(storms) > stormsEvery {
			storms = time.Now()
			c.tellStorms()
		}
		if time.Since(clock) > clockEvery {
			clock = time.Now()
			c.table.SetBoot(bootTime())
		}
	}
	return nil
}

func (c *Collector) apply(raw []byte) {
	if err := c.table.Apply(raw, c.emit); err != nil {
		c.undecodable.Add(1)
	}
	c.records.Add(1)
}

// emit hands a fact on; a refusal that lacks its holders or figures has them
// looked up first, which takes system calls and so happens elsewhere.
func (c *Collector) emit(f Fact) {
	if !c.resolver.take(f) {
		c.deliver(f)
	}
}

func (c *Collector) tellStorms() {
	for _, f := range c.storms.since(c.source.Storms()) {
		c.deliver(f)
	}
}

func (c *Collector) deliver(f Fact) {
	for _, s := range c.sinks {
		s.Accept(f)
	}
}

func (c *Collector) takeReturned() {
	for len(c.returned) > 0 {
		c.take(<-c.returned)
	}
}

func (c *Collector) take(f Fact) {
	c.deliver(f)
	c.resolver.done()
}

// finish hands on what the resolver still has. It reads while it waits: the
// resolver could not end on a full channel.
func (c *Collector) finish() {
	c.tellStorms()
	c.resolver.stop()
	for {
		select {
		case f := <-c.returned:
			c.take(f)
		case <-c.resolver.stopped:
			c.takeReturned()
			return
		}
	}
}

// Inject hands in a fact that was learned elsewhere than from a record. It
// waits while the queue is full.
func (c *Collector) Inject(ctx context.Context, f Fact) {
	c.resolver.begin()
	select {
	case c.returned <- f:
	case <-ctx.Done():
		c.resolver.done()
	}
}

// Sync waits until everything that the kernel had told before the call has
// reached the sinks.
func (c *Collector) Sync(ctx context.Context) error {
	counts, err := c.source.Counts()
	if err != nil {
		return err
	}
	for _, f := range c.storms.since(c.source.Storms()) {
		c.Inject(ctx, f)
	}
	for c.records.Load() < counts.Emitted || c.resolver.busy() {
		if err := c.source.Flush(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// Summary is what a run has seen, and what it has not.
type Summary struct {
	Events      uint64 // records decoded
	Lost        uint64 // the full ring refused them
	Untracked   uint64 // the full map refused these endpoints
	Missed      uint64 // calls whose return could not be paired
	Skipped     uint64 // runs of programs that the kernel left out, on the whole host
	Undecodable uint64
	Unresolved  uint64 // bind conflicts told without looking for their holders
}

// Summary may be called at any time, from any goroutine.
func (c *Collector) Summary() (Summary, error) {
	counts, err := c.source.Counts()
	bad := c.undecodable.Load()
	return Summary{
		Events: c.records.Load() - bad, Undecodable: bad,
		Lost: counts.Lost, Untracked: counts.Untracked, Missed: counts.Missed, Skipped: counts.Skipped,
		Unresolved: c.resolver.refused.Load(),
	}, err
}

// Total is all evidence that did not arrive whole.
//
// What was skipped is not in it: whether it would have told anything is unknown.
func (s Summary) Total() uint64 { return s.Lost + s.Untracked + s.Missed + s.Undecodable }

// bootTime is the wall clock's time at the boot clock's zero
// (CLOCK_BOOTTIME, what bpf_ktime_get_boot_ns reads).
func bootTime() time.Time {
	var boot unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) // cannot fail since 2.6.39
	return time.Now().Add(-time.Duration(boot.Nano())).Round(0)
}
