package experiments

import (
	"slices"
	"testing"
	"time"
)

// hooks are the rows of the loader's table that experiments may rest on. The
// loader is not imported here, so a change there must be made here as well.
var hooks = []string{
	"state", "connect", "accept", "bind", "port_choice", "time_wait_enter", "time_wait_leave",
	"time_wait_reuse_connect", "time_wait_reuse_syn", "descriptors", "accept_queue", "udp_port", "file_table",
	"syn_queue", "tcp_memory", "orphans", "conntrack_table", "nat_ports", "threads",
}

// withoutLimit are the experiments that no limit of the kernel ends.
var withoutLimit = []string{
	"tls-handshakes", "http1-per-host", "http2-streams", "http3-streams", "wildcard-listener", "listener-per-address",
}

func complete() Experiment {
	return Experiment{
		Name: "test", Group: Ports, Question: "?", Expect: "!", Hooks: []string{"state"}, Takes: time.Second,
		Legs: func(Size) []Leg { return nil },
	}
}

func TestRegisterPanics(t *testing.T) {
	for name, edit := range map[string]func(*Experiment){
		`experiment "" is incomplete`:                 func(e *Experiment) { e.Name = "" },
		`experiment "a" is incomplete`:                func(e *Experiment) { e.Name, e.Question = "a", "" },
		`experiment "b" is incomplete`:                func(e *Experiment) { e.Name, e.Expect = "b", "" },
		`experiment "c" is incomplete`:                func(e *Experiment) { e.Name, e.Legs = "c", nil },
		`experiment "d" is incomplete`:                func(e *Experiment) { e.Name, e.Hooks = "d", nil },
		`experiment "e" is incomplete`:                func(e *Experiment) { e.Name, e.Takes = "e", 0 },
		`experiment "test" is of no group`:            func(e *Experiment) { e.Group = "" },
		`experiment "f" is of no group`:               func(e *Experiment) { e.Name, e.Group = "f", "misc" },
		`experiment "time-wait" is registered twice`:  func(e *Experiment) { e.Name = "time-wait" },
		`experiment "bind-twice" is registered twice`: func(e *Experiment) { e.Name = "bind-twice"; register(*e) },
	} {
		t.Run(name, func(t *testing.T) {
			saved := slices.Clone(registry)
			defer func() {
				registry = saved
				if got := recover(); got != name {
					t.Errorf("got %v", got)
				}
			}()
			e := complete()
			edit(&e)
			register(e)
		})
	}
}

func TestFind(t *testing.T) {
	for _, e := range All() {
		found, ok := Find(e.Name)
		equal(t, e.Name, ok && found.Question == e.Question, true)
	}
	_, ok := Find("no-such-experiment")
	equal(t, "an unknown name", ok, false)
}

// TestOrder: by the catalogue's groups, then by name; and the caller's copy is
// his own.
func TestOrder(t *testing.T) {
	all := All()
	equal(t, "experiments", len(all), len(registry))
	for i := 1; i < len(all); i++ {
		a, b := all[i-1], all[i]
		before := slices.Index(groups, a.Group) < slices.Index(groups, b.Group) || a.Group == b.Group && a.Name < b.Name
		if !before {
			t.Errorf("%s (%s) comes before %s (%s)", a.Name, a.Group, b.Name, b.Group)
		}
	}
	all[0].Name = "changed"
	_, ok := Find("changed")
	equal(t, "the registry has changed", ok, false)
}

func TestEveryExperiment(t *testing.T) {
	for _, e := range All() {
		if e.Limit.String() == "" && !slices.Contains(withoutLimit, e.Name) {
			t.Errorf("%s is about no limit", e.Name)
		}
		for _, h := range e.Hooks {
			if !slices.Contains(hooks, h) {
				t.Errorf("%s rests on hook %q, which there is not", e.Name, h)
			}
		}
		for _, full := range []bool{false, true} {
			checkLegs(t, e, e.Legs(Size{Full: full}))
		}
	}
}

func checkLegs(t *testing.T, e Experiment, legs []Leg) {
	t.Helper()
	if len(legs) == 0 {
		t.Errorf("%s has no leg", e.Name)
	}
	names := map[string]bool{}
	for _, leg := range legs {
		if leg.Name == "" || names[leg.Name] {
			t.Errorf("%s has a leg without a name or two named %q", e.Name, leg.Name)
		}
		if leg.Prepare == nil || leg.Predict == nil || leg.Push == nil {
			t.Errorf("%s: leg %s is incomplete", e.Name, leg.Name)
		}
		names[leg.Name] = true
	}
}
