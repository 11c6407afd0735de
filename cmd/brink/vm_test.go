package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"brink/loader/vm"
)

// guestRungs are what every kernel of the matrix must have.
var guestRungs = []string{"fentry", "kprobe", "tracepoint"}

// TestVM runs this package's kernel tests and the experiments inside guests on
// each kernel of the matrix, on every rung, and prints which hook's events were
// seen where. make test-vm asks for it.
func TestVM(t *testing.T) {
	if os.Getenv("BRINK_VM") == "" {
		t.Skip("left out: make test-vm boots the kernels")
	}
	binary := filepath.Join(t.TempDir(), "brink.test")
	if err := vm.BuildTest(t.Context(), "brink/cmd/brink", binary); err != nil {
		t.Fatal(err)
	}
	results, err := vm.Matrix(t.Context(), vm.MatrixOptions{Output: os.Stderr, Guest: vm.Guest{
		Files:    []vm.File{{Path: "/bin/brink.test", From: binary}},
		Commands: guestCommands(),
		Memory:   2048,
		Timeout:  40 * time.Minute,
	}, Adjust: addLongTests})
	if !vm.Report(os.Stderr, results) || err != nil {
		t.Errorf("not everything passed in the guests: %v", err)
	}
	m := readMatrix(results)
	m.print()
	for _, cell := range m.empty() {
		t.Errorf("no event was seen: %s", cell)
	}
}

// runUntilHeld: an emulated CPU is slow enough for a program to be preempted by
// a task that would run it too, which the kernel then skips: such an experiment
// is inconclusive and is repeated. One that refutes is not.
const runUntilHeld = `names="NAMES"
for try in 1 2 3 4 5; do
	/bin/brink.test run --json --host-wide --rung RUNG --out /tmp/RUNG $names >/tmp/results
	status=$?
	cat /tmp/results
	[ $status = 0 ] && exit 0
	grep -q '"verdict":"refuted"' /tmp/results && exit 1
	names=$(grep '"verdict":"inconclusive"' /tmp/results | sed 's/^{"experiment":"\([^"]*\)".*/\1/')
	[ "$names" ] || exit 1
done
exit 1`

// quick are the experiments that every run of the matrix has in the guests, on the
// best rung, and basic those that it repeats on each rung. BRINK_VM=all has the
// whole catalogue on all rungs instead, and the ledger's and the refusals' tests on
// each: it takes hours.
var (
	basic = []string{"same-tuple-twice", "without-reuseaddr", "ephemeral-ports", "time-wait", "accept-queue", "file-descriptors"}
	quick = append(slices.Clone(basic), "time-wait-buckets", "nat-ports", "syn-queue", "conntrack-table", "file-table", "orphans")
)

const (
	quickTests = "^(TestHooks|TestTrace.*|TestKill.*)$"
	allTests   = "^(TestHooks|TestTrace.*|TestKill.*|TestRefusals.*|TestStorm.*|TestLedger.*)$"
)

// experimentsOn are those that a run has on a rung; none stands for all.
func experimentsOn(rung string) []string {
	switch {
	case wholeCatalogue():
		return nil
	case rung == guestRungs[0]:
		return quick
	}
	return basic
}

// longRung is the rung on which a kernel has the refusals', the ledger's and a
// storm's tests too: a minute or two on each, so each kernel has one. make test has
// them on tracepoints.
var longRung = map[string]string{"5.10": "kprobe", "6.1": "fentry", "6.12": "kprobe", "7.2": "fentry"}

// longTests: the ledger's tries have numbers below their rung, the storms have
// their rungs below them.
const longTests = "^(TestRefusals|TestRefusalsToldApart|TestLedger|TestStorm)$/^(RUNG|refused)$/^(RUNG|[0-9]+)$"

func addLongTests(g *vm.Guest) {
	if wholeCatalogue() {
		return
	}
	tests := strings.ReplaceAll(longTests, "RUNG", longRung[g.Kernel.Series])
	g.Commands = append(g.Commands, vm.Command{
		Args: []string{"/bin/brink.test", "-test.v", "-test.run=" + tests, "-test.timeout=20m"},
		Env:  []string{"BRINK_RUNGS=" + strings.Join(guestRungs, ","), "BRINK_TEST_CLOSES=2000"},
	})
}

func wholeCatalogue() bool { return os.Getenv("BRINK_VM") == "all" }

func guestCommands() []vm.Command {
	tests := quickTests
	if wholeCatalogue() {
		tests = allTests
	}
	commands := []vm.Command{{
		Args: []string{"/bin/brink.test", "-test.v", "-test.run=" + tests, "-test.timeout=30m"},
		Env:  []string{"BRINK_RUNGS=" + strings.Join(guestRungs, ","), "BRINK_TEST_OWN_HOST=1"},
	}}
	for _, rung := range guestRungs {
		script := strings.NewReplacer("RUNG", rung, "NAMES", strings.Join(experimentsOn(rung), " ")).Replace(runUntilHeld)
		experiments := vm.Shell(script)
		experiments.Env = []string{"BRINK_TEST_AS_BRINK=1"}
		commands = append(commands, experiments)
	}
	return append(commands, vm.Command{
		Args: []string{"/bin/brink.test", "doctor"}, Env: []string{"BRINK_TEST_AS_BRINK=1"},
	})
}

// matrix is hook × kernel × rung.
type matrix struct {
	hooks   []string
	kernels []string
	cells   map[[3]string]string
}

func readMatrix(results []vm.Result) matrix {
	m := matrix{cells: map[[3]string]string{}}
	for _, r := range results {
		m.kernels = append(m.kernels, r.Kernel.Series)
		for _, c := range r.Commands {
			m.read(r.Kernel.Series, c.Output)
		}
	}
	return m
}

func (m *matrix) read(kernel, output string) {
	for lines := bufio.NewScanner(strings.NewReader(output)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) != 4 || f[0] != "MATRIX" {
			continue
		}
		if !slices.Contains(m.hooks, f[1]) {
			m.hooks = append(m.hooks, f[1])
		}
		cell := [3]string{f[1], kernel, f[2]}
		if m.cells[cell] != "MISSING" { // each family must have seen it
			m.cells[cell] = f[3]
		}
	}
}

func (m *matrix) print() {
	fmt.Printf("%-26s", "events seen")
	for _, k := range m.kernels {
		fmt.Printf(" %-29s", k)
	}
	fmt.Printf("\n%-26s", "")
	for range m.kernels {
		fmt.Printf(" %-9s %-9s %-9s", "fentry", "kprobe", "tracep.")
	}
	fmt.Println()
	for _, hook := range m.hooks {
		fmt.Printf("%-26s", hook)
		for _, k := range m.kernels {
			for _, rung := range guestRungs {
				fmt.Printf(" %-9.9s", m.cells[[3]string{hook, k, rung}])
			}
		}
		fmt.Println()
	}
}

// empty are the cells that the kernel could fill and did not.
func (m *matrix) empty() (cells []string) {
	if len(m.hooks) == 0 {
		return []string{"any hook on any kernel"}
	}
	for _, hook := range m.hooks {
		for _, k := range m.kernels {
			for _, rung := range guestRungs {
				seen := m.cells[[3]string{hook, k, rung}]
				instead := seen != "" && seen != "MISSING" // the rung that it has here, or none
				switch {
				case seen == "seen", instead && rung == "tracepoint" && !slices.Contains(byTracepoint, hook),
					instead && rung == "fentry" && slices.Contains(ofModule, hook) && k == "5.10":
					continue
				}
				cells = append(cells, fmt.Sprintf("%s on %s by %s: %q", hook, k, rung, seen))
			}
		}
	}
	return cells
}
