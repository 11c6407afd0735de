package experiments

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"brink/collector"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

func source(collector.Hook) string { return "raw_tp/inet_sock_set_state" }

// legResult is a leg as the runner makes it of what judge is given.
func legResult(name string, s sources, verdict Verdict, reason string) LegResult {
	leg := LegResult{Name: name, Verdict: verdict, Reason: reason, Duration: 0.4}
	leg.predicted(s.p)
	leg.measured(s.p, s.m)
	leg.evidence(s.e, source)
	return leg
}

// result puts the first leg on top, as the runner does.
func result(legs ...LegResult) Result {
	r := Result{
		Experiment: "ephemeral-ports", Question: "how many connections from <one> address & port?", Limit: "ephemeral_ports",
		Predicted: legs[0].Predicted, Measured: legs[0].Measured, Evidence: legs[0].Evidence, Duration: 0.4,
	}
	r.Verdict, r.Reason = together(legs)
	if len(legs) > 1 {
		r.Legs = legs
	}
	return r
}

func portsResult() Result {
	s := toldErrno()
	s.p.Formula, s.p.Inputs = "high - low + 1 - reserved", []Input{{"low", 40000}, {"high", 40003}, {"a first input may come late", true}}
	s.e.TimeWaits = nil
	return result(legResult("IPv4", s, Held, ""))
}

func legsResult() Result {
	s := lateTold()
	s.e.Lost, s.p.Formula = 7, "min(backlog, somaxconn) + 1"
	s.e.Hits = append(s.e.Hits, hit(limits.FileDescriptors, unix.EMFILE, 2))
	return result(
		legResult("IPv4", allStanding(), Held, ""),
		legResult("late", s, Inconclusive, "7 pieces of kernel evidence were lost"),
	)
}

// withoutNumbers never came as far as a prediction.
func withoutNumbers() Result {
	leg := LegResult{Name: "IPv4", Verdict: Inconclusive, Reason: "interrupted"}
	leg.Evidence = EvidenceJSON{Mode: modeNone, Hits: []HitJSON{}}
	return result(leg)
}

func TestResultGolden(t *testing.T) {
	for name, r := range map[string]Result{
		"one_leg": portsResult(), "legs": legsResult(), "without_numbers": withoutNumbers(),
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			e := json.NewEncoder(&got)
			e.SetEscapeHTML(false)
			noError(t, e.Encode(r))
			file := filepath.Join("testdata", name+".jsonl")
			if *update {
				noError(t, os.WriteFile(file, got.Bytes(), 0o644))
			}
			if want := must(os.ReadFile(file))(t); !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got  %swant %s", got.Bytes(), want)
			}
		})
	}
}

// TestResultKeys: the contract's keys in the contract's order; others may be
// between them.
func TestResultKeys(t *testing.T) {
	line := must(json.Marshal(portsResult()))(t)
	for path, want := range map[string]string{
		"":                 "experiment question limit predicted measured evidence verdict reason duration_seconds",
		"predicted":        "value unit formula inputs",
		"predicted inputs": "low high a_first_input_may_come_late",
		"measured":         "value unit brink.errno error.type",
		"evidence":         "mode connections hits lost",
		"evidence hits":    "brink.limit brink.errno count hook",
	} {
		contract := strings.Fields(want)
		var got []string
		for _, key := range keys(t, line, strings.Fields(path)...) {
			if key = strings.ReplaceAll(key, " ", "_"); slices.Contains(contract, key) {
				got = append(got, key)
			}
		}
		if !slices.Equal(got, contract) {
			t.Errorf("keys of %q are %v, want %v", path, got, contract)
		}
	}
}

// keys of an object within an object, in their order; of a list, its first's.
func keys(t *testing.T, value json.RawMessage, path ...string) (found []string) {
	t.Helper()
	value, _ = bytes.CutPrefix(bytes.TrimSpace(value), []byte("["))
	d := json.NewDecoder(bytes.NewReader(value))
	must(d.Token())(t)
	for d.More() {
		key := must(d.Token())(t).(string)
		var inner json.RawMessage
		noError(t, d.Decode(&inner))
		if len(path) > 0 && key == path[0] {
			return keys(t, inner, path[1:]...)
		}
		found = append(found, key)
	}
	return found
}

func TestInputsThatAreNoJSON(t *testing.T) {
	_, err := json.Marshal(inputs{{"channel", make(chan int)}})
	isError(t, err, "unsupported type")
}

func TestPlus(t *testing.T) {
	one := Measurement{Value: 1, Endpoints: 2, Refusals: 3, TimeWaits: 4, Findings: []Finding{{"a", 1, "b"}}}
	two := Measurement{Value: 10, Errno: syscall.EMFILE, Endpoints: 20, Refusals: 30, TimeWaits: 40, Problem: "second"}
	sum := Measurement{Value: 11, Errno: syscall.EMFILE, Endpoints: 22, Refusals: 33, TimeWaits: 44, Problem: "second", Findings: one.Findings}
	equal(t, "sum", fmt.Sprint(one.plus(two)), fmt.Sprint(sum))
	one.Errno, one.Problem = syscall.EADDRINUSE, "first"
	sum.Errno, sum.Problem = one.Errno, one.Problem
	equal(t, "the first refusal and problem stay", fmt.Sprint(one.plus(two)), fmt.Sprint(sum))
}
