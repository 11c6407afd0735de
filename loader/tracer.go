package loader

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"brink/bpf"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/ringbuf"
)

// idle is how long Next waits for a record: the kernel wakes the reader only
// when much has gathered, so this bounds how late a record can be.
const idle = 100 * time.Millisecond

// Tracer is what Attach got. It belongs to its creator, who closes it.
type Tracer struct {
	options  Options
	spec     *ebpf.CollectionSpec
	types    *btf.Cache // the kernel's; read once, for all programs
	maps     map[string]*ebpf.Map
	ring     *ringbuf.Reader
	attached []attachment
	modes    []Mode
	blocked  error
	closed   map[Rung]error // rungs that this kernel does not have at all
	record   ringbuf.Record
	loading  time.Duration
}

// Modes are all hooks in the table's order, with the rung that each is on.
func (t *Tracer) Modes() []Mode { return t.modes }

// Mode is how the named hook is seen; Rung None for a name not in the table.
func (t *Tracer) Mode(name string) Mode {
	for _, m := range t.modes {
		if m.Name == name {
			return m
		}
	}
	return Mode{Rung: None}
}

// TellsTurns reports whether it is told when an orphan's timewait socket turns into
// TIME_WAIT: by a hook of its own, and by no filter for owners, for nobody owns a
// timewait socket.
func (t *Tracer) TellsTurns() bool {
	f := t.options.Filter
	return t.Mode("time_wait_reuse_syn").Rung != None && f.PID == 0 && f.Cgroup == ""
}

func (t *Tracer) mode(id bpf.BrinkHook) *Mode {
	if m := &t.modes[indexOf(id)]; m.Name != "" {
		return m
	}
	return &Mode{Rung: None} // not attached yet
}

// Blocked is why this kernel lets no program in at all; nil if it does.
func (t *Tracer) Blocked() error { return t.blocked }

// Next waits for the next record and lends it until the next call. Its error is
// os.ErrDeadlineExceeded when none came for a while (the caller may have other
// things to do) and os.ErrClosed after Close.
func (t *Tracer) Next() ([]byte, error) {
	if t.blocked != nil {
		time.Sleep(idle)
		return nil, os.ErrDeadlineExceeded
	}
	// With more in the ring it will not wait, and to ask for the time costs more
	// than most of what is done with a record.
	if t.record.Remaining == 0 {
		t.ring.SetDeadline(time.Now().Add(idle))
	}
	err := t.ring.ReadInto(&t.record)
	if err == nil {
		return t.record.RawSample, nil
	}
	t.record.Remaining = 0
	switch {
	case errors.Is(err, ringbuf.ErrClosed):
		err = os.ErrClosed
	case errors.Is(err, ringbuf.ErrFlushed):
		err = os.ErrDeadlineExceeded
	}
	return nil, err
}

// Flush makes a waiting Next return, after all records that are there.
func (t *Tracer) Flush() error {
	if t.blocked != nil {
		return nil
	}
	return t.ring.Flush()
}

// Counts reads the kernel side's counters.
func (t *Tracer) Counts() (bpf.Counts, error) {
	if t.blocked != nil {
		return bpf.Counts{}, nil
	}
	var n [bpf.BrinkCountCOUNT_COUNT]uint64
	if err := t.sum(bpf.BrinkMapCounts, n[:]); err != nil {
		return bpf.Counts{}, err
	}
	return bpf.Counts{
		Emitted:   n[bpf.BrinkCountCOUNT_EMITTED],
		Lost:      n[bpf.BrinkCountCOUNT_LOST],
		Untracked: n[bpf.BrinkCountCOUNT_UNTRACKED],
		Missed:    n[bpf.BrinkCountCOUNT_MISSED],
		Skipped:   t.Skipped(),
	}, nil
}

// Hits reads how often each limit refused.
func (t *Tracer) Hits() (bpf.Hits, error) {
	var hits bpf.Hits
	if t.blocked != nil {
		return hits, nil
	}
	return hits, t.sum(bpf.BrinkMapHits, hits[:])
}

// sum adds up a per-CPU array.
func (t *Tracer) sum(name string, into []uint64) error {
	for i := range into {
		var perCPU []uint64
		if err := t.maps[name].Lookup(uint32(i), &perCPU); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		for _, n := range perCPU {
			into[i] += n
		}
	}
	return nil
}

// Skipped are runs that the kernel left out by itself, for the programs of the
// named hooks or, without a name, for all: because a program was already running
// on that CPU (counted since 5.12), or because a kprobe could not be served, a
// kretprobe for want of a free instance (told since 6.7). It counts for the whole
// host: a program's run is skipped before it could look whose it was.
func (t *Tracer) Skipped(hooks ...string) (n uint64) {
	for _, a := range t.attached {
		if len(hooks) > 0 && !t.belongs(a.name, hooks) {
			continue
		}
		n += t.unseen(a.name, a.misses())
	}
	if len(hooks) == 0 || slices.ContainsFunc(hooks, t.byKprobeAlone) {
		n += t.untold()
	}
	return n
}

// belongs reports whether one of the hooks rests on the program.
func (t *Tracer) belongs(program string, hooks []string) bool {
	return slices.ContainsFunc(hooks, func(name string) bool {
		m := t.Mode(name)
		if m.way.With != 0 {
			m = *t.mode(m.way.With)
		}
		return slices.Contains(m.way.Programs, program)
	})
}

// AllowNetns lets a namespace pass a Dynamic filter; ForbidNetns takes it back.
func (t *Tracer) AllowNetns(netns uint32) error {
	if t.blocked != nil {
		return nil
	}
	return t.maps[bpf.BrinkMapFilterNetns].Put(netns, uint8(1))
}

// ForbidNetns stops telling of a namespace that AllowNetns let pass.
func (t *Tracer) ForbidNetns(netns uint32) error {
	if t.blocked != nil {
		return nil
	}
	err := t.maps[bpf.BrinkMapFilterNetns].Delete(netns)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}

// Weakest is the lowest rung among the named hooks: what a result that needs
// them all rests on.
func (t *Tracer) Weakest(names ...string) Rung {
	weakest := Fentry
	for _, name := range names {
		weakest = max(weakest, t.Mode(name).Rung)
	}
	return weakest
}

// SourceOf is what a hook rests on, in the kernel's words.
func (t *Tracer) SourceOf(id bpf.BrinkHook) string {
	for _, m := range t.modes {
		if m.ID == id {
			return strings.Join(m.Sources, " ")
		}
	}
	return ""
}

// Failures reads how many connections failed, per kind of failure.
func (t *Tracer) Failures() (bpf.Failures, error) {
	var failures bpf.Failures
	if t.blocked != nil {
		return failures, nil
	}
	return failures, t.sum(bpf.BrinkMapFailures, failures[:])
}

// Storms are the refusals that had no record of their own, since the start.
func (t *Tracer) Storms() map[bpf.BrinkStormKey]bpf.BrinkStorm {
	storms := map[bpf.BrinkStormKey]bpf.BrinkStorm{}
	if t.blocked != nil {
		return storms
	}
	var key bpf.BrinkStormKey
	var storm bpf.BrinkStorm
	all := t.maps[bpf.BrinkMapStorms].Iterate()
	for all.Next(&key, &storm) {
		if storm.Untold > 0 {
			storms[key] = storm
		}
	}
	return storms // an iteration that was aborted finds the rest the next time
}

// Close detaches everything. Next returns os.ErrClosed from then on.
func (t *Tracer) Close() error {
	var errs []error
	if t.ring != nil {
		errs = append(errs, t.ring.Close())
	}
	for _, a := range t.attached {
		errs = append(errs, a.close())
	}
	for _, m := range t.maps {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
