package experiments

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"brink/collector"
	"brink/collector/memory"
	"brink/collector/portrule"
	"brink/experiments/lab"
)

// pairOf finds the cell of a table by its words; "a" is SO_REUSEADDR.
func pairOf(t *testing.T, table matrixTable, first, firstOption, second, secondOption string) matrixPair {
	t.Helper()
	at := func(groups []matrixGroup, name, option string) int {
		g := slices.IndexFunc(groups, func(g matrixGroup) bool { return g.name == name })
		o := slices.IndexFunc(matrixOptions, func(o MatrixAxis) bool { return o.Code == option })
		if g < 0 || o < 0 {
			t.Fatalf("there is no %s with option %s", name, option)
		}
		return g*len(matrixOptions) + o
	}
	pairs := table.pairs()
	return pairs[at(table.rows, first, firstOption)*len(table.columns)*len(matrixOptions)+at(table.columns, second, secondOption)]
}

func tableNamed(t *testing.T, name string) matrixTable {
	t.Helper()
	tables := matrixTables(Size{Full: true})
	i := slices.IndexFunc(tables, func(table matrixTable) bool { return table.name == name })
	if i < 0 {
		t.Fatalf("no table %q", name)
	}
	return tables[i]
}

func TestMatrixPredictions(t *testing.T) {
	for _, row := range []struct {
		table, first, firstOption, second, secondOption string
		refused                                         matrixStep
		rule                                            portrule.Rule
	}{
		{"bind, IPv4 first", "127.0.0.1 bound", "-", "127.0.0.2", "-", granted, ""},
		{"bind, IPv4 first", "127.0.0.1 bound", "-", "[::] v6only", "-", granted, ""},
		{"bind, IPv4 first", "127.0.0.1 bound", "a", "0.0.0.0", "-", atPort, portrule.AskerWithoutReuseAddr},
		{"bind, IPv4 first", "127.0.0.1 bound", "-", "0.0.0.0", "b", atPort, portrule.HolderWithoutReuseAddr},
		{"bind, IPv4 first", "127.0.0.1 bound", "a", "0.0.0.0", "a", atBothBound, portrule.HolderListens},
		{"bind, IPv4 first", "127.0.0.1 bound", "b", "0.0.0.0", "a", atBothBound, portrule.HolderListens},
		{"bind, IPv4 first", "127.0.0.1 bound", "p", "0.0.0.0", "p", granted, ""},
		{"bind, IPv4 first", "127.0.0.1 listens", "a", "127.0.0.1", "a", atPort, portrule.HolderListens},
		{"bind, IPv4 first", "127.0.0.1 listens", "p", "127.0.0.1", "b", granted, ""},
		{"bind, IPv4 first", "0.0.0.0 bound", "a", "[::] dual", "-", atPort, portrule.DualStack},
		{"bind, dual-stack first", "[::] dual bound", "a", "0.0.0.0", "a", atBothBound, portrule.DualStack},
		{"bind, IPv6 by bind(0) first", "fd00::1 listens, port 0", "a", "[::] v6only", "a", atPort, portrule.HolderListens},
		{"bind, connection first", "127.0.0.1 connected", "a", "127.0.0.1", "a", granted, ""},
		{"bind, connection first", "[::] to IPv6 connected", "-", "0.0.0.0", "-", atPort, portrule.DualStack},
		{"bind, connection first", "[::] v6only connected", "-", "0.0.0.0", "-", granted, ""},
		{"bind(0)", "127.0.0.1 bound", "b", "127.0.0.1", "b", atPort, portrule.AddressesOverlap},
		{"bind(0)", "127.0.0.1 bound", "b", "127.0.0.2", "-", granted, ""},
		{"bind(0)", "127.0.0.1 connected", "a", "0.0.0.0", "a", atPort, portrule.AddressesOverlap},
		{"connect", "fd00::1 bound", "b", "127.0.0.1 connected", "b", atPort, portrule.MadeByBind},
		{"connect", "127.0.0.1 connected", "-", "[::] to IPv4 connected", "-", atPort, portrule.SameTuple},
		{"connect", "127.0.0.1 connected", "-", "127.0.0.2 connected", "-", granted, ""},
		{"connect elsewhere", "127.0.0.1 connected", "-", "127.0.0.1 connected", "-", granted, ""},
	} {
		p := pairOf(t, tableNamed(t, row.table), row.first, row.firstOption, row.second, row.secondOption)
		p.predict(false)
		name := fmt.Sprintf("%s (%s), then %s (%s)", row.first, row.firstOption, row.second, row.secondOption)
		equal(t, name+": refused step", p.refused, row.refused)
		equal(t, name+": rule", p.rule, row.rule)
	}
	both := pairOf(t, tableNamed(t, "bind(0)"), "127.0.0.1 bound", "a", "0.0.0.0", "a")
	both.predict(true)
	equal(t, "with ip_autobind_reuse", both.refused, granted)
}

// TestMatrixFits: every refusal can be told by itself and looked into, and every
// pair has a port and a symbol of its own.
func TestMatrixFits(t *testing.T) {
	const resolverQueue = 256 // collector's
	for _, table := range matrixTables(Size{Full: true}) {
		run := &matrixRun{matrixTable: table, pairs: table.pairs()}
		refused, late := 0, 0
		for i := range run.pairs {
			p := &run.pairs[i]
			p.predict(table.autobindReuse)
			if p.refused == granted {
				continue
			}
			refused++
			if p.refused == atBothBound {
				late++
			}
			if p.refused == atListen {
				t.Errorf("%s: %s: another limit refuses", table.name, run.describe(p))
			}
			symbol, meaning := p.symbol(matrixAnswer{p.refused, table.errno}, table.errno)
			if symbol == 0 || strings.HasSuffix(meaning, ": ") || meaning == "" {
				t.Errorf("%s has no symbol", p.rule)
			}
		}
		if last := firstMatrixPort + len(run.pairs); last >= 1<<16 {
			t.Errorf("%s: ports up to %d", table.name, last)
		}
		if table.bothListen && (refused > resolverQueue || late > toldASecond) {
			t.Errorf("%s: %d refusals, of these %d by the holder", table.name, refused, late)
		}
		all := 0
		for _, pairs := range run.chunks() {
			told := 0
			for _, p := range pairs {
				if p.refused != granted {
					told++
				}
			}
			if all += len(pairs); table.bothListen && told > toldASecond {
				t.Errorf("%s: %d refusals in one process", table.name, told)
			}
		}
		equal(t, table.name+": pairs in chunks", all, len(run.pairs))
		for _, c := range table.columns {
			equal(t, table.name+": code of "+c.name, len(c.code), 2)
		}
	}
}

// small is one row against all columns, for tests that run it.
func small(edit ...func(*matrixTable)) Experiment {
	table := explicitly("small", boundAt(asPort, any4))
	for _, f := range edit {
		f(&table)
	}
	return oneLeg(table.leg())
}

func byZero(table *matrixTable) {
	table.columns, table.bothListen = places(asZero), false
}

// TestMatrixSettings: ip_autobind_reuse moves prediction and measurement.
func TestMatrixSettings(t *testing.T) {
	measured := map[bool]int{}
	for _, reuse := range []bool{false, true} {
		r := run(t, noKernel(), small(byZero, func(table *matrixTable) { table.autobindReuse = reuse }))
		judged(t, fmt.Sprint("ip_autobind_reuse ", reuse), r, Inconclusive, withoutEvidence)
		equal(t, "measured", r.Measured.Value, r.Predicted.Value)
		measured[reuse] = r.Measured.Value
	}
	// {same, other, wildcard, dual} × the three of 16 that have SO_REUSEADDR on
	// both and not SO_REUSEPORT on both × bound and listening
	equal(t, "more pairs with it", measured[true]-measured[false], 4*3*2)
}

// TestMatrixDisagrees: a kernel that deals otherwise refutes, and the first pairs
// are named.
func TestMatrixDisagrees(t *testing.T) {
	r := run(t, noKernel(), oneLeg(small(byZero).Legs(Size{})[0], behindItsBack(setting("net.ipv4.ip_autobind_reuse", "1"))))
	judged(t, "another rule", r, Refuted, "measured: 12 of 224 pairs are not as predicted: "+
		"0.0.0.0 bound (SO_REUSEADDR), then bind(port) at 127.0.0.1 (SO_REUSEADDR): predicted a refusal of the port (addresses-overlap), measured no refusal; "+
		"0.0.0.0 bound (SO_REUSEADDR), then bind(port) at 127.0.0.1 (both): predicted a refusal of the port (addresses-overlap), measured no refusal; "+
		"0.0.0.0 bound (SO_REUSEADDR), then bind(port) at 127.0.0.2 (SO_REUSEADDR): predicted a refusal of the port (addresses-overlap), measured no refusal")
}

// TestMatrixSumDoesNotHide: two pairs that are wrong the other way round leave
// the sum as predicted, and still refute.
func TestMatrixSumDoesNotHide(t *testing.T) {
	table := explicitly("t", boundAt(asPort, place4))
	r := &matrixRun{matrixTable: table, pairs: table.pairs(), answers: make([]matrixAnswer, len(table.pairs()))}
	for i := range r.pairs {
		r.pairs[i].predict(false)
		r.answers[i] = matrixAnswer{r.pairs[i].refused, r.errno}
		if r.pairs[i].refused == granted {
			r.answers[i] = matrixAnswer{}
		}
	}
	equal(t, "as predicted", r.disagreements(), "")
	yes := slices.IndexFunc(r.answers, func(a matrixAnswer) bool { return !a.refused() })
	r.answers[0], r.answers[yes] = r.answers[yes], r.answers[0]
	if got := r.disagreements(); !strings.HasPrefix(got, "2 of 224 pairs are not as predicted: 127.0.0.1 bound (neither option)") {
		t.Errorf("%q", got)
	}
	if cells := r.matrix().Cells[0]; cells[0] != symbolWrong {
		t.Errorf("the picture has %q", cells)
	}
}

// TestMatrixAttribution: a count that is right does not do; each refusal is to be
// told with its holder, its asker and its rule.
func TestMatrixAttribution(t *testing.T) {
	b, ctx := newBench(t), deadline(t)
	holder, asker := must(b.worker(ctx, lab.WorkerOptions{}))(t), must(b.worker(ctx, lab.WorkerOptions{}))(t)
	table := explicitly("t", boundAt(asPort, place4))
	r := &matrixRun{matrixTable: table, pairs: table.pairs(), holder: holder}
	var good memory.Evidence
	for i := range r.pairs {
		p := &r.pairs[i]
		p.predict(false)
		r.askers = append(r.askers, asker)
		if p.refused != granted {
			good.Conflicts = append(good.Conflicts, conflictOf(p, holder, asker))
		}
	}
	equal(t, "all told", r.attributed(nil, Measurement{}, good), "")
	late := slices.IndexFunc(good.Conflicts, func(c collector.BindConflict) bool { return c.Listening })
	for name, edit := range map[string]func(*memory.Evidence){
		"the kernel told of 0 bind conflicts": func(e *memory.Evidence) { e.Conflicts = e.Conflicts[1:] },
		"the kernel told of 2 bind conflicts": func(e *memory.Evidence) { e.Conflicts = append(e.Conflicts, e.Conflicts[0]) },
		"the kernel told of 1 bind conflicts": func(e *memory.Evidence) {
			yes := slices.IndexFunc(r.pairs, func(p matrixPair) bool { return p.refused == granted })
			e.Conflicts = append(e.Conflicts, conflictOf(&r.pairs[yes], holder, asker))
		},
		"its holder is process":      func(e *memory.Evidence) { e.Conflicts[0].Holders[0].PID++ },
		"named were []":              func(e *memory.Evidence) { e.Conflicts[0].Holders = nil },
		"the kernel told of 0 (lis":  func(e *memory.Evidence) { e.Conflicts[0].Owner.PID = 0 },
		"(listening: true)":          func(e *memory.Evidence) { e.Conflicts[0].Listening = true },
		"(listening: false)":         func(e *memory.Evidence) { e.Conflicts[late].Listening = false },
		"evidence says holder-lis":   func(e *memory.Evidence) { e.Conflicts[0].Holders[0].Rule = portrule.HolderListens },
		"the rule is holder-listens": func(e *memory.Evidence) { e.Conflicts[late].Holders[0].Rule = portrule.DualStack },
	} {
		bad := good
		bad.Conflicts = slices.Clone(good.Conflicts)
		for i := range bad.Conflicts {
			bad.Conflicts[i].Holders = slices.Clone(bad.Conflicts[i].Holders)
		}
		edit(&bad)
		if got := r.attributed(nil, Measurement{}, bad); !strings.Contains(got, name) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// conflictOf is what the kernel's evidence has of a pair.
func conflictOf(p *matrixPair, holder, asker *lab.Worker) (c collector.BindConflict) {
	if p.refused == atBothBound {
		holder, asker = asker, holder
	}
	c.Local = p.second.inKernel(p.port).Local
	c.Listening = p.refused != atPort
	c.Owner.PID = uint32(asker.PID())
	c.Holders = []collector.Holder{{PID: uint32(holder.PID()), Rule: p.rule}}
	return c
}

// TestMatrixFirstMustBe: without its first socket a pair says nothing.
func TestMatrixFirstMustBe(t *testing.T) {
	occupied := func(ctx context.Context, b *Bench) error {
		_, err := b.Server.Listen(ctx, lab.ListenOptions{Addr: IPv4.at(1, firstMatrixPort+3)})
		return err
	}
	r := run(t, noKernel(), oneLeg(small().Legs(Size{})[0], prepared(occupied)))
	equal(t, "verdict", r.Verdict, Inconclusive)
	if !strings.Contains(r.Reason, fmt.Sprintf("port %d is free, and ", firstMatrixPort+3)) {
		t.Errorf("reason %q", r.Reason)
	}
}
