package experiments

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"syscall"
	"time"

	"brink/collector"
	"brink/collector/memory"
)

// Experiment is one question about a limit, as data.
type Experiment struct {
	Name     string
	Group    Group
	Question string
	// Expect is the prediction in words, for people who choose.
	Expect string
	// Limit is the one that is pushed; zero where no limit of the kernel is.
	Limit collector.Limit
	// Hooks are the rows of the loader's table that the evidence rests on.
	Hooks []string
	// Takes is the expected duration at default size.
	Takes time.Duration
	// Legs are the runs that make up the experiment. The first is what it is
	// about; the others are controls and variants, and must agree as well.
	Legs func(Size) []Leg
}

// Group orders the catalogue.
type Group string

// The catalogue's groups, in its order.
const (
	Identity  Group = "identity"
	Ports     Group = "ports"
	Queues    Group = "queues"
	Resources Group = "resources"
	Multiplex Group = "multiplexing"
)

var groups = []Group{Identity, Ports, Queues, Resources, Multiplex}

// Size says how far to push.
type Size struct {
	// Full uses the host's real values instead of small ones.
	Full bool
	// HostWide also pushes limits of the whole host, on a machine made for it.
	HostWide bool
}

// Leg is one push in one lab.
type Leg struct {
	Name string
	// Limit is the one that this leg pushes, where it is not the experiment's.
	Limit collector.Limit
	// Prepare sets the lab up: settings, addresses, listeners.
	Prepare func(context.Context, *Bench) error
	// Predict reads the settings back and computes; nothing has been pushed yet.
	Predict func(context.Context, *Bench) (Prediction, error)
	// Push makes the connections, until the kernel says no or all stand.
	Push func(context.Context, *Bench) (Measurement, error)
	// Inspect holds further evidence against the prediction: what the
	// experiment is about beyond counts. A non-empty reason refutes.
	Inspect func(*Bench, Measurement, memory.Evidence) (reason string)
}

// Prediction is a number computed from settings, and how.
type Prediction struct {
	Value   int
	Unit    string
	Formula string
	Inputs  []Input
	// Errno is what the program is to be told in the end; 0: of no refusal.
	Errno syscall.Errno
	// Apart: the limit refuses a packet, apart from any call of the program. The
	// kernel's refusal then has no errno, and the program is told later (Errno)
	// or never.
	Apart bool
	// Within is how far, as a part of Value, a measurement may be from it: for
	// rates and sizes, which no formula gives to the last digit. 0: not at all.
	Within float64
}

// agrees reports whether a measured value is the predicted one.
func (p Prediction) agrees(value int) bool {
	return math.Abs(float64(value-p.Value)) <= p.Within*math.Abs(float64(p.Value))
}

// refusal reports whether the push is to end with one.
func (p Prediction) refusal() bool { return p.Errno != 0 || p.Apart }

// hitErrno is what the kernel's own refusals are to carry.
func (p Prediction) hitErrno() syscall.Errno {
	if p.Apart {
		return 0
	}
	return p.Errno
}

// Input is one setting that a formula uses.
type Input struct {
	Name  string
	Value any
}

// Measurement is what user space counted.
type Measurement struct {
	Value int
	Errno syscall.Errno // the first refusal's
	// Endpoints is how many established ends the push made, both sides.
	Endpoints int
	// Refusals is how often the kernel said no.
	Refusals int
	// TimeWaits is how many connections were closed actively, which leaves a
	// timewait socket each.
	TimeWaits int
	// Findings are worth to be known and not part of the verdict.
	Findings []Finding
	// Problem is what user space itself saw go wrong, such as a server that
	// was reached by the wrong client. It refutes.
	Problem string
	// Matrix is the push drawn as a picture, where it has one.
	Matrix *Matrix
}

// Finding is a figure that a push brought to light beside its measurement.
type Finding struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

var registry []Experiment

// register adds an experiment; it panics on one that is incomplete or there
// already, which is a mistake in this package.
func register(e Experiment) {
	if e.Name == "" || e.Question == "" || e.Expect == "" || e.Legs == nil || len(e.Hooks) == 0 || e.Takes == 0 {
		panic(fmt.Sprintf("experiment %q is incomplete", e.Name))
	}
	if slices.Index(groups, e.Group) < 0 {
		panic(fmt.Sprintf("experiment %q is of no group", e.Name))
	}
	if _, ok := Find(e.Name); ok {
		panic(fmt.Sprintf("experiment %q is registered twice", e.Name))
	}
	registry = append(registry, e)
}

// All experiments in the catalogue's order.
func All() []Experiment {
	all := slices.Clone(registry)
	slices.SortStableFunc(all, func(a, b Experiment) int {
		return cmp.Or(cmp.Compare(slices.Index(groups, a.Group), slices.Index(groups, b.Group)), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// Find an experiment by its name.
func Find(name string) (Experiment, bool) {
	for _, e := range registry {
		if e.Name == name {
			return e, true
		}
	}
	return Experiment{}, false
}
