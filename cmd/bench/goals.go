package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// A goal is what was set out to be reached, beside what was.
type goal struct {
	What     string  `json:"what"`
	Measured float64 `json:"measured"`
	AtMost   float64 `json:"at_most"`
	Unit     string  `json:"unit,omitempty"`
	Met      bool    `json:"met"`
	// Limit is what was measured of the parts that Measured mostly consists of, in
	// the same unit.
	Limit string `json:"limited_by,omitempty"`
}

func newGoal(what string, measured, atMost float64, unit string) goal {
	return goal{What: what, Measured: measured, AtMost: atMost, Unit: unit, Met: measured <= atMost}
}

// fullChurn is the rate, in ends of connections a second, at which brink's own
// CPU time is judged.
const fullChurn = 70_000

// judge holds what was measured against the goals; what was not measured has no
// line.
func (b *benchmark) judge(rows []row) (goals []goal) {
	goals = addedGoals(rows)
	if s := b.steady; s != nil {
		ends := 2 * float64(s.Connections)
		share := s.TracerCPU * float64(s.Connections) / ends * fullChurn / 1e9
		goals = append(goals,
			newGoal(fmt.Sprintf("%s: its process at %d ends a second", s.Tracer, fullChurn), 100*share, 15, "% of a CPU"),
			newGoal(fmt.Sprintf("%s: lost in %.0f s of full churn, %.0f connections a second", s.Tracer, s.seconds, float64(s.Connections)/s.seconds),
				float64(s.Lost), 0, "records"))
	}
	if len(b.starts) > 0 {
		g := newGoal("start until attached", spreadOf(b.starts).Median, 300, "ms")
		g.Limit = b.attach.String()
		goals = append(goals, g)
	}
	if b.soak != nil {
		goals = append(goals, b.soak.goals()...)
	}
	if b.scale != nil {
		goals = append(goals, b.scale.goals()...)
	}
	return append(goals, goGoals(b.golang)...)
}

func (s *scale) goals() []goal {
	goals := []goal{newGoal(fmt.Sprintf("brink limits beside %d sockets", s.Sockets), s.Limits.Median, 2, "s")}
	if s.ManyTraced == 0 {
		return goals
	}
	held := fmt.Sprintf("beside %d connections", s.Held)
	return append(goals,
		newGoal(held+": a new one, of one beside 1000", s.ManyTraced/s.FewTraced, 1.3, ""),
		newGoal(held+": kernel memory of maps, an end", s.MapBytes, 256, "bytes"),
		newGoal(held+": RSS", float64(s.RSS)/(1<<20), 200, "MiB"),
		newGoal(held+": lost", float64(s.Lost), 0, "records"))
}

// addedGoals are the ratios of added CPU time per connection.
func addedGoals(rows []row) (goals []goal) {
	base, _ := find(rows, loads[0].name, untraced)
	peer, ok := find(rows, loads[0].name, tcplife)
	empty, _ := find(rows, loads[0].name, hollow)
	add := func(w row, what string, atMost, of float64, unit string) {
		g := newGoal(w.Tracer+": added, of "+what, w.Added.Median/of, atMost, unit)
		g.Limit = limitOf(w, empty, of)
		goals = append(goals, g)
	}
	for _, g := range []struct {
		tracer string
		atMost float64
	}{{agent, 1. / 10}, {jsonLines, 1. / 5}, {filtered, 1. / 20}} {
		if w, found := find(rows, loads[0].name, g.tracer); found && ok {
			add(w, "what tcplife adds", g.atMost, peer.Added.Median, "")
		}
	}
	if w, found := find(rows, loads[0].name, agent); found {
		add(w, "the untraced cost", 5, base.Cost.Median/100, "%")
	}
	return goals
}

// limitOf is what a tracer's added time cannot be less than, and what its process
// takes of it.
func limitOf(w, empty row, of float64) string {
	if empty.Rounds == 0 {
		return ""
	}
	return fmt.Sprintf("empty programs at its places %.3g, its own process %.3g", empty.Added.Median/of, w.TracerCPU.Median/of)
}

func printGoals(w io.Writer, goals []goal) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\ngoal\tmeasured\tat most\t\t\tlimited by")
	for _, g := range goals {
		met := "met"
		if !g.Met {
			met = "not met"
			if g.AtMost > 0 {
				met = fmt.Sprintf("not met: %.1f × too much", g.Measured/g.AtMost)
			}
		}
		fmt.Fprintf(t, "%s\t%.4g\t%.4g\t%s\t%s\t%s\n", g.What, g.Measured, g.AtMost, g.Unit, met, g.Limit)
	}
	t.Flush()
}
