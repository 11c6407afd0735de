package loader

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"brink/bpf"

	"github.com/cilium/ebpf"
)

// A hook that event.h has and the table lacks would never be seen, and nobody
// would miss it.
func TestEveryHookHasARow(t *testing.T) {
	rows := map[bpf.BrinkHook]int{}
	names := map[string]int{}
	for _, h := range hooks {
		rows[h.ID]++
		names[h.Name]++
	}
	for id := bpf.BrinkHookHOOK_STATE; id < bpf.BrinkHookHOOK_COUNT; id++ {
		equal(t, "rows of hook "+name(id), rows[id], 1)
	}
	equal(t, "rows", len(hooks), int(bpf.BrinkHookHOOK_COUNT)-1)
	for name, n := range names {
		equal(t, "hooks named "+name, n, 1)
	}
}

func name(id bpf.BrinkHook) string {
	for _, h := range hooks {
		if h.ID == id {
			return h.Name
		}
	}
	return "nobody's"
}

func TestRowsAreComplete(t *testing.T) {
	for _, h := range hooks {
		if h.Name == "" || h.Tells == "" || h.Without == "" || len(h.Ways) == 0 {
			t.Errorf("hook %d has a name, tells, without and ways: %+v", h.ID, h)
		}
		for _, w := range h.Ways {
			if (len(w.Programs) == 0) != (w.Rung == Poll || w.With != 0) {
				t.Errorf("%s: rung %s has %d programs", h.Name, w.Rung, len(w.Programs))
			}
		}
		if best := h.Ways[0]; best.Rung != Fentry || best.Lost != "" {
			t.Errorf("%s: its best way is %s and loses %q", h.Name, best.Rung, best.Lost)
		}
	}
}

// attachHook takes the first way that holds, so the best must come first.
func TestWaysInRungOrder(t *testing.T) {
	for _, h := range hooks {
		inOrder := slices.IsSortedFunc(h.Ways, func(a, b Way) int { return int(a.Rung - b.Rung) })
		equal(t, h.Name+": ways in order", inOrder, true)
	}
}

// A carrier is attached after those it carries, on programs of its own.
func TestCarriers(t *testing.T) {
	for _, h := range hooks {
		for _, w := range h.Ways {
			if w.With == 0 {
				continue
			}
			equal(t, h.Name+": "+name(w.With)+" is a carrier", slices.Contains(carriers, w.With), true)
			equal(t, h.Name+" is one itself", slices.Contains(carriers, h.ID), false)
		}
	}
}

// A program that no way names is dead weight in the object; a name that the
// object has not would panic.
func TestProgramsAreThoseOfTheObject(t *testing.T) {
	object := programs(t)
	used := map[string]bool{}
	for _, h := range hooks {
		for _, w := range h.Ways {
			for _, program := range w.Programs {
				used[base(program)] = true
			}
		}
	}
	inObject, inTable := slices.Sorted(maps.Keys(object)), slices.Sorted(maps.Keys(used))
	if !slices.Equal(inObject, inTable) {
		t.Errorf("the object has\n%q\nand the table names\n%q", inObject, inTable)
	}
}

// base is the program's name in the object, without the place that it is given.
func base(program string) string {
	name, _, _ := strings.Cut(program, "@")
	return name
}

// sections are the kinds of programs that belong to each rung. A raw tracepoint
// may help on the better ones: every kernel has those.
var sections = map[Rung][]string{
	Fentry:     {"fentry", "fexit", "raw_tp"},
	Kprobe:     {"kprobe", "kretprobe", "raw_tp"},
	Tracepoint: {"raw_tp", "tracepoint"},
}

func TestProgramsAreOfTheirRung(t *testing.T) {
	object := programs(t)
	for _, h := range hooks {
		for _, w := range h.Ways {
			for _, program := range w.Programs {
				kind, function, _ := strings.Cut(object[base(program)].SectionName, "/")
				if !slices.Contains(sections[w.Rung], kind) || function == "" {
					t.Errorf("%s: rung %s has %s", h.Name, w.Rung, object[base(program)].SectionName)
				}
			}
		}
	}
}

// A program on a return that needs what one on the entry saw must not come alone
// or first: what returns in between would be counted as missed.
func TestEntriesComeBeforeReturns(t *testing.T) {
	object := programs(t)
	for _, h := range hooks {
		for _, w := range h.Ways {
			entered := map[string]bool{}
			for _, program := range w.Programs {
				entered[program] = true
				if strings.HasPrefix(program, "tp_sys_exit_") && !strings.HasSuffix(program, "_before_5_15") {
					continue // finds the call's arguments by itself
				}
				entry := returnsTo.Replace(program)
				if _, paired := object[entry]; paired && !entered[entry] {
					t.Errorf("%s: %s before %s", h.Name, program, entry)
				}
			}
		}
	}
}

var returnsTo = strings.NewReplacer("kretprobe_", "kprobe_", "tp_sys_exit_", "tp_sys_enter_", "_before_5_15", "")

func TestIndexOf(t *testing.T) {
	for i, h := range hooks {
		equal(t, h.Name, indexOf(h.ID), i)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic for a hook that is not in the table")
		}
	}()
	indexOf(bpf.BrinkHookHOOK_COUNT)
}

func programs(t *testing.T) map[string]*ebpf.ProgramSpec { return object(t).Programs }

func object(t *testing.T) *ebpf.CollectionSpec {
	t.Helper()
	spec, err := bpf.LoadBrink()
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
