package loader

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"brink/bpf"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

func TestRungs(t *testing.T) {
	for r := Fentry; r <= None; r++ {
		parsed, err := ParseRung(r.String())
		if err != nil {
			t.Error(err)
		}
		equal(t, r.String(), parsed, r)
	}
	if best, err := ParseRung(""); err != nil || best != Fentry {
		t.Errorf("no rung: %s, %v", best, err)
	}
	if _, err := ParseRung("ptrace"); err == nil || !strings.Contains(err.Error(), "fentry, kprobe, tracepoint, poll or none") {
		t.Errorf("the error does not say what to use: %v", err)
	}
}

// Only a no to the whole rung closes it: one function that is not there says
// nothing about the next.
func TestCloses(t *testing.T) {
	wrapped := fmt.Errorf("load: %w", unix.EPERM)
	for _, test := range []struct {
		rung Rung
		err  error
		want bool
	}{
		{Fentry, nil, false},
		{Fentry, wrapped, true},
		{Fentry, ebpf.ErrNotSupported, false},
		{Kprobe, wrapped, false},
		{Kprobe, errNoKprobes, true},
		{Fentry, errNoKprobes, false},
		{Tracepoint, wrapped, false},
	} {
		equal(t, fmt.Sprint(test.rung, " with ", test.err), closes(test.rung, test.err) != nil, test.want)
	}
}

func TestReasonIsOneLine(t *testing.T) {
	verifier := &ebpf.VerifierError{Cause: unix.EINVAL, Log: []string{"0: (95) exit", "R0 !read_ok"}}
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("no such function\nprocessed 12 insns"), "no such function"},
		{fmt.Errorf("load program: %w", verifier), unix.EINVAL.Error()},
		{errors.New("map create: operation not permitted (MEMLOCK may be too low)"), "map create: operation not permitted"},
	} {
		equal(t, "reason", reason(test.err), test.want)
	}
}

// A hook without programs of its own rests on its carrier's, and falls with it.
func TestCarriedBy(t *testing.T) {
	choice := hooks[indexOf(bpf.BrinkHookHOOK_PORT_CHOICE)]
	way := choice.Ways[len(choice.Ways)-1]
	for _, test := range []struct {
		carrier       Mode
		rung          Rung
		lost, sources string
		refusals      int
	}{
		{Mode{Rung: Tracepoint, Sources: []string{"a", "b"}}, Tracepoint, way.Lost, "[a b]", 0},
		{Mode{Rung: None}, None, choice.Without, "[]", 1},
	} {
		tracer := unattached()
		test.carrier.Hook = hooks[indexOf(way.With)]
		tracer.modes[indexOf(way.With)] = test.carrier
		m := Mode{Hook: choice, Rung: way.Rung, Lost: way.Lost, way: way}
		m.carriedBy(tracer)
		equal(t, "rung", m.Rung, test.rung)
		equal(t, "lost", m.Lost, test.lost)
		equal(t, "sources", fmt.Sprint(m.Sources), test.sources)
		equal(t, "refusals", len(m.Refusals), test.refusals)
	}
}

// A hook with programs of its own stays as it is.
func TestNotCarried(t *testing.T) {
	bind := hooks[indexOf(bpf.BrinkHookHOOK_BIND)]
	m := Mode{Hook: bind, Rung: Fentry, Sources: []string{"a"}, way: bind.Ways[0]}
	m.carriedBy(unattached())
	equal(t, "rung", m.Rung, Fentry)
	equal(t, "sources", fmt.Sprint(m.Sources), "[a]")
}

// A way that was refused before another one on its rung was got refused no rung.
func TestTakeKeepsRefusalsOfOtherRungs(t *testing.T) {
	descriptors := hooks[indexOf(bpf.BrinkHookHOOK_DESCRIPTORS)]
	m := Mode{Hook: descriptors}
	m.refuse(Fentry, "not permitted")
	m.refuse(Kprobe, "no such function")
	m.take(descriptors.Ways[3])
	equal(t, "rung", m.Rung, Kprobe)
	equal(t, "refusals", fmt.Sprint(m.Refusals), fmt.Sprint([]Refusal{{Fentry, "not permitted"}}))
}

// Where no program gets in, what polls still works, and nothing fails.
func TestBlockedTracer(t *testing.T) {
	tracer := blocked(unix.EPERM, Options{})
	for _, m := range tracer.Modes() {
		want := None
		if m.Ways[len(m.Ways)-1].Rung == Poll {
			want = Poll
		}
		equal(t, m.Name, m.Rung, want)
		if want == None {
			equal(t, m.Name+": lost", m.Lost, m.Without)
			equal(t, m.Name+": last reason", m.Refusals[len(m.Refusals)-1].Reason, unix.EPERM.Error())
		}
	}
	equal(t, "weakest", tracer.Weakest("accept_queue", "connect"), None)
	equal(t, "weakest of one", tracer.Weakest("accept_queue"), Poll)
	equal(t, "source", tracer.SourceOf(bpf.BrinkHookHOOK_ACCEPT_QUEUE), "poll")
	if !errors.Is(tracer.Blocked(), unix.EPERM) || tracer.Advice() == "" {
		t.Errorf("blocked by %v, advice %q", tracer.Blocked(), tracer.Advice())
	}
	if err := errors.Join(tracer.Flush(), tracer.AllowNetns(1), tracer.ForbidNetns(1), tracer.Close()); err != nil {
		t.Error(err)
	}
	counts, err := tracer.Counts()
	equal(t, "counts", counts, bpf.Counts{})
	hits, hitsErr := tracer.Hits()
	equal(t, "hits", hits, bpf.Hits{})
	if err := errors.Join(err, hitsErr); err != nil {
		t.Error(err)
	}
}

// Its reader is told that nothing came, and not in a busy loop.
func TestBlockedTracerIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracer := blocked(unix.EPERM, Options{})
		before := time.Now()
		if _, err := tracer.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		equal(t, "waited", time.Since(before), idle)
	})
}

// Rungs above the best one wanted are not tried and say so.
func TestRungsNotAskedFor(t *testing.T) {
	tracer := blocked(unix.EPERM, Options{Best: None})
	for _, m := range tracer.Modes() {
		equal(t, m.Name, m.Rung, None)
		for _, r := range m.Refusals {
			equal(t, m.Name+": reason", r.Reason, notAskedFor)
			equal(t, m.Name+": remedy", Remedy(r.Rung, r.Reason), "")
		}
		equal(t, m.Name+": refused rungs", len(m.Refusals), len(rungsOf(m.Hook)))
	}
}

// rungsOf are the rungs that a hook has a way on; one reason is told once a rung.
func rungsOf(h Hook) map[Rung]bool {
	rungs := map[Rung]bool{}
	for _, way := range h.Ways {
		rungs[way.Rung] = true
	}
	return rungs
}

func TestAdvice(t *testing.T) {
	equal(t, "nothing blocks", (&Tracer{}).Advice(), "")
	for err, want := range map[error]string{
		unix.EPERM:           "CAP_BPF",
		unix.EINVAL:          "5.8",
		ebpf.ErrNotSupported: "5.8",
		unix.ENOSPC:          unix.ENOSPC.Error(),
	} {
		advice := blocked(fmt.Errorf("create BPF maps: %w", err), Options{}).Advice()
		if !strings.Contains(advice, want) {
			t.Errorf("%v: %q does not speak of %s", err, advice, want)
		}
	}
}

// blocked is what Attach gives where not even a map can be made.
func blocked(err error, options Options) *Tracer {
	t := &Tracer{options: options, closed: map[Rung]error{}, blocked: err}
	t.climb()
	return t
}
