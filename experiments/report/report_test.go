package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brink/collector/limits"
	"brink/experiments"

	"github.com/jedib0t/go-pretty/v6/table"
)

var update = flag.Bool("update", false, "write the golden files anew")

// newTable is a table as plain as a test can read it.
func newTable(w *bytes.Buffer) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = 0
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	return t
}

func held() experiments.Result {
	return experiments.Result{
		Experiment: "ephemeral-ports", Limit: "ephemeral_ports", Verdict: experiments.Held, Duration: 0.44,
		Predicted: &experiments.Predicted{Value: 200, Unit: "connections", Errno: "EADDRNOTAVAIL"},
		Measured:  &experiments.Measured{Value: 200, Unit: "connections", Errno: "EADDRNOTAVAIL", Refusals: 1},
		Evidence: experiments.EvidenceJSON{
			Mode: "tracepoint", Connections: 400, Hits: []experiments.HitJSON{{Limit: "ephemeral_ports", Count: 1}},
		},
	}
}

// several has three legs, of which one did not hold and one was not begun.
func several() experiments.Result {
	r := held()
	r.Experiment, r.Verdict = "time-wait", experiments.Refuted
	r.Reason = "IPv6: measured 400 established endpoints, the kernel told of 399 & <lost> 3"
	second := experiments.LegResult{
		Name: "IPv6", Predicted: r.Predicted, Measured: r.Measured, Verdict: experiments.Refuted, Duration: 1,
		Reason: "measured 400 established endpoints, the kernel told of 399 & <lost> 3",
		Evidence: experiments.EvidenceJSON{
			Mode: "fentry", Connections: 399, TimeWaits: 50, Lost: 3,
			Hits: []experiments.HitJSON{{Limit: "ephemeral_ports", Count: 1}, {Limit: "file_descriptors", Count: 2}},
		},
	}
	third := experiments.LegResult{
		Name: "closed by a reset", Verdict: experiments.Inconclusive, Reason: "interrupted",
		Evidence: experiments.EvidenceJSON{Mode: "none"},
	}
	first := experiments.LegResult{Name: "IPv4", Predicted: r.Predicted, Measured: r.Measured, Evidence: r.Evidence, Verdict: experiments.Held}
	r.Legs = []experiments.LegResult{first, second, third}
	return r
}

func skipped() experiments.Result {
	return experiments.Result{
		Experiment: "nat-ports", Verdict: experiments.Skipped, Reason: "no NAT here",
		Evidence: experiments.EvidenceJSON{Mode: "none"},
	}
}

func catalogue() []experiments.Experiment {
	return []experiments.Experiment{
		{Name: "one", Group: experiments.Identity, Question: "who?", Expect: "everybody & <all>", Limit: limits.FourTuple, Takes: time.Second},
		{Name: "two", Group: experiments.Identity, Question: "when?", Expect: "now", Limit: limits.BindConflict, Takes: 1500 * time.Millisecond},
		{Name: "three", Group: experiments.Queues, Question: "how many?", Expect: "backlog + 1", Limit: limits.AcceptQueue, Takes: 2 * time.Minute},
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	Table(newTable(&b), []experiments.Result{held(), several(), skipped()}, false)
	golden(t, "table.txt", b.Bytes())
	if bytes.Contains(b.Bytes(), []byte("\x1b")) {
		t.Error("a table without colour is coloured")
	}
}

// TestColour: nothing but the verdicts' words differs.
func TestColour(t *testing.T) {
	var plain, coloured bytes.Buffer
	Table(newTable(&plain), []experiments.Result{several(), skipped()}, false)
	Table(newTable(&coloured), []experiments.Result{several(), skipped()}, true)
	stripped := coloured.String()
	for _, escape := range []string{"\x1b[31m", "\x1b[33m", "\x1b[90m", "\x1b[0m"} {
		if !strings.Contains(stripped, escape) {
			t.Errorf("no %q in %s", escape, coloured.String())
		}
		stripped = strings.ReplaceAll(stripped, escape, "")
	}
	if stripped != plain.String() {
		t.Errorf("without colour it is\n%swith it\n%s", plain.String(), stripped)
	}
}

func TestEmptyTable(t *testing.T) {
	var b bytes.Buffer
	Table(newTable(&b), nil, false)
	if n := strings.Count(b.String(), "\n"); n != 1 {
		t.Errorf("without results there are %d lines, not a heading alone", n)
	}
}

func TestList(t *testing.T) {
	var b bytes.Buffer
	List(newTable(&b), catalogue())
	golden(t, "list.txt", b.Bytes())
}

func TestListJSON(t *testing.T) {
	var b bytes.Buffer
	if err := ListJSON(&b, catalogue()); err != nil {
		t.Fatal(err)
	}
	golden(t, "list.jsonl", b.Bytes())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%swant\n%s", name, got, want)
	}
}
