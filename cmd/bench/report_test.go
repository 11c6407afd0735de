package main

import (
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	equal(t, "odd", spreadOf([]float64{3, 1, 2}), spread{2, 1, 3})
	equal(t, "even", spreadOf([]float64{4, 1, 2, 3}), spread{2.5, 1, 4})
}

// Rounds of one load: untraced costs 100, 110, 120; the others add the same in
// each round.
func someRounds(adds map[string]float64) (rounds []round) {
	for n := range 3 {
		base := 100 + 10*float64(n)
		rounds = append(rounds, round{Load: loads[0].name, Tracer: untraced, LoadCPU: base})
		for name, added := range adds {
			rounds = append(rounds, round{Load: loads[0].name, Tracer: name, LoadCPU: base + added - 1, TracerCPU: 1, Told: 9, ToTell: 10, Lost: 1})
		}
	}
	return rounds
}

func TestAddedIsTakenRoundByRound(t *testing.T) {
	b := &benchmark{tracers: []tracer{{name: untraced}, {name: agent}, {name: tcplife}}, rounds: someRounds(map[string]float64{agent: 6, tcplife: 50})}
	w, found := find(b.rowsOf(), loads[0].name, agent)
	equal(t, "found", found, true)
	equal(t, "added", w.Added, spread{6, 6, 6})
	equal(t, "cost", w.Cost, spread{116, 106, 126})
	equal(t, "at its least", w.Quietest, 6)
	equal(t, "told", w.Told, 0.9)
	equal(t, "lost", w.Lost, 3)
}

func TestGoals(t *testing.T) {
	b := &benchmark{
		tracers: []tracer{{name: untraced}, {name: agent}, {name: jsonLines}, {name: tcplife}},
		rounds:  someRounds(map[string]float64{agent: 6, jsonLines: 8, tcplife: 50}),
		steady:  &round{Tracer: agent, Connections: 1000, TracerCPU: 400, Lost: 2, seconds: 1},
		starts:  []float64{200, 250, 400},
	}
	met := map[string]bool{}
	for _, g := range b.judge(b.rowsOf()) {
		what, _, _ := strings.Cut(g.What, ",")
		met[what+" "+g.Unit] = g.Met
	}
	for what, want := range map[string]bool{
		agent + ": added %":                                       false, // 6 of 110 is more than 5 %
		jsonLines + ": added ":                                    true,  // 8 of 50
		agent + ": added ":                                        false, // 6 of 50
		"start until attached ms":                                 true,
		agent + ": lost in 1 s of full churn records":             false,
		agent + ": its process at 70000 ends a second % of a CPU": true, // 200 ns an end
	} {
		got, judged := met[what]
		equal(t, what+" is judged", judged, true)
		equal(t, what, got, want)
	}
}

const goOutput = `goos: linux
pkg: brink/collector
cpu: AMD EPYC
BenchmarkApplyConnection-2    	 1000000	       122.7 ns/op	1695.52 MB/s	       0 B/op	       0 allocs/op
BenchmarkApplyConnection-2    	 1440378	        81.4 ns/op	2554.19 MB/s	       0 B/op	       0 allocs/op
BenchmarkApplyConnection-2    	 1440378	        90 ns/op	2554.19 MB/s	       0 B/op	       0 allocs/op
PASS
ok  	brink/collector	2.774s
pkg: brink/collector/jsonl
BenchmarkConnection-2   	   94695	      1244 ns/op	     152 B/op	      11 allocs/op
`

func TestGoBenchmarks(t *testing.T) {
	rows, err := readGoBenchmarks(strings.NewReader(goOutput))
	noError(t, err)
	equal(t, "rows", len(rows), 2)
	equal(t, "first", rows[0], goRow{decodeAndTable, spread{90, 81.4, 122.7}, spread{}})
	equal(t, "second", rows[1].Name, "jsonl.Connection")
	equal(t, "its allocations", rows[1].Allocations.Median, 11)
	goals := goGoals(rows)
	equal(t, "goals", len(goals), 2)
	equal(t, "fast enough", goals[0].Met && goals[1].Met, true)
}
