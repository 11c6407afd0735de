package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// A row is all rounds of one tracer on one load. Times are nanoseconds per
// connection.
type row struct {
	Load      string  `json:"load"`
	Tracer    string  `json:"tracer"`
	Rounds    int     `json:"rounds"`
	Cost      spread  `json:"cpu_ns"`
	Added     spread  `json:"added_cpu_ns"`    // over untraced, round by round
	Quietest  float64 `json:"quietest_cpu_ns"` // the least over the least of untraced
	Wall      spread  `json:"wall_ns"`
	AddedWall spread  `json:"added_wall_ns"`
	TracerCPU spread  `json:"tracer_cpu_ns"`
	Told      float64 `json:"told,omitempty"` // of the ends that there were, where lines can be counted
	Lost      uint64  `json:"lost"`
	RSS       int     `json:"rss_bytes,omitempty"`
}

// rowsOf gathers the rounds in the order of the tables of loads and tracers.
func (b *benchmark) rowsOf() (rows []row) {
	for _, l := range loads {
		base := b.roundsOf(l.name, untraced)
		for _, t := range b.tracers {
			if rounds := b.roundsOf(l.name, t.name); len(rounds) > 0 {
				rows = append(rows, newRow(rounds, base))
			}
		}
	}
	return rows
}

func (b *benchmark) roundsOf(load, tracer string) (rounds []round) {
	for _, r := range b.rounds {
		if r.Load == load && r.Tracer == tracer {
			rounds = append(rounds, r)
		}
	}
	return rounds
}

func newRow(rounds, base []round) row {
	w := row{Load: rounds[0].Load, Tracer: rounds[0].Tracer, Rounds: len(rounds)}
	var told, toTell int
	for _, r := range rounds {
		w.Lost += r.Lost
		w.RSS = max(w.RSS, r.RSS)
		told, toTell = told+r.Told, toTell+r.ToTell
	}
	if told > 0 {
		w.Told = float64(told) / float64(toTell)
	}
	each := func(value func(i int) float64) spread {
		values := make([]float64, min(len(rounds), len(base)))
		for i := range values {
			values[i] = value(i)
		}
		return spreadOf(values)
	}
	w.Cost = each(func(i int) float64 { return rounds[i].cost() })
	w.Wall = each(func(i int) float64 { return rounds[i].Wall })
	w.TracerCPU = each(func(i int) float64 { return rounds[i].TracerCPU })
	w.Added = each(func(i int) float64 { return rounds[i].cost() - base[i].cost() })
	least := each(func(i int) float64 { return base[i].cost() }).Least
	w.Quietest = w.Cost.Least - least
	w.AddedWall = each(func(i int) float64 { return rounds[i].Wall - base[i].Wall })
	return w
}

func find(rows []row, load, tracer string) (row, bool) {
	for _, w := range rows {
		if w.Load == load && w.Tracer == tracer {
			return w, true
		}
	}
	return row{}, false
}

// report prints the tables and writes the file.
func (b *benchmark) report(w io.Writer) error {
	rows := b.rowsOf()
	goals := b.judge(rows)
	printRows(w, rows)
	printGoRows(w, b.golang)
	printGoals(w, goals)
	return writeJSON(b.settings.out, map[string]any{
		"rows": rows, "rounds": b.rounds, "goals": goals, "steady": b.steady, "start_ms": b.starts, "attach": b.attach, "soak": b.soak, "scale": b.scale, "go": b.golang,
	})
}

func printRows(w io.Writer, rows []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	load := ""
	for _, r := range rows {
		if r.Load != load {
			load = r.Load
			fmt.Fprintf(t, "\n%s\tCPU µs\tadded\tleast…most\tat rest\tof untraced\tof tcplife's\ttracer's own\twall µs\tadded\ttold\tlost\tRSS MiB\n", load)
		}
		base, _ := find(rows, r.Load, untraced)
		peer, _ := find(rows, r.Load, tcplife)
		fmt.Fprintf(t, "  %s\t%.2f\t", r.Tracer, r.Cost.Median/1e3)
		if r.Tracer == untraced {
			fmt.Fprintf(t, "\t%.2f…%.2f\t\t\t\t\t%.2f\t\t\t\t\n", r.Cost.Least/1e3, r.Cost.Most/1e3, r.Wall.Median/1e3)
			continue
		}
		fmt.Fprintf(t, "%.2f\t%.2f…%.2f\t%.2f\t%.1f%%\t%s\t%.2f\t%.2f\t%.2f\t%s\t%d\t%d\n",
			r.Added.Median/1e3, r.Added.Least/1e3, r.Added.Most/1e3, r.Quietest/1e3, 100*r.Added.Median/base.Cost.Median,
			ratio(r.Added.Median, peer.Added.Median), r.TracerCPU.Median/1e3,
			r.Wall.Median/1e3, r.AddedWall.Median/1e3, percent(r.Told), r.Lost, r.RSS>>20)
	}
	t.Flush()
}

func ratio(a, b float64) string {
	if b <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", a/b)
}

func percent(told float64) string {
	if told == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f%%", 100*told)
}

func writeJSON(name string, value any) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}
