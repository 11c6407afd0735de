package report

import (
	"fmt"
	"strings"

	"brink/experiments"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Table renders results as a table of verdicts, a line a leg where there are
// several.
func Table(t table.Writer, results []experiments.Result, colour bool) {
	t.AppendHeader(table.Row{"experiment", "predicted", "measured", "kernel told", "by", "verdict", "seconds"})
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 6, WidthMax: 60, WidthMaxEnforcer: text.WrapSoft}})
	for _, r := range results {
		t.AppendRow(table.Row{
			r.Experiment, predicted(r.Predicted), measured(r.Measured), evidence(r.Evidence),
			r.Evidence.Mode, verdict(r.Verdict, r.Reason, colour), fmt.Sprintf("%.1f", r.Duration),
		})
		found(t, r.Findings)
		for _, leg := range r.Legs[min(1, len(r.Legs)):] {
			t.AppendRow(table.Row{
				"  " + leg.Name, predicted(leg.Predicted), measured(leg.Measured), evidence(leg.Evidence),
				leg.Evidence.Mode, verdict(leg.Verdict, leg.Reason, colour), fmt.Sprintf("%.1f", leg.Duration),
			})
			found(t, leg.Findings)
		}
	}
	t.Render()
}

func found(t table.Writer, findings []experiments.Finding) {
	for _, f := range findings {
		t.AppendRow(table.Row{"    " + f.Name, "", fmt.Sprintf("%.4g %s", f.Value, f.Unit)})
	}
}

func predicted(p *experiments.Predicted) string {
	if p == nil {
		return "-"
	}
	return end(fmt.Sprintf("%d %s", p.Value, p.Unit), p.Errno)
}

func measured(m *experiments.Measured) string {
	if m == nil {
		return "-"
	}
	return end(fmt.Sprint(m.Value), m.Errno)
}

func end(count, errno string) string {
	if errno == "" {
		return count
	}
	return count + ", " + errno
}

func evidence(e experiments.EvidenceJSON) string {
	told := fmt.Sprintf("%d endpoints", e.Connections)
	for _, h := range e.Hits {
		told += fmt.Sprintf(", %d × %s", h.Count, h.Limit)
	}
	if e.TimeWaits > 0 {
		told += fmt.Sprintf(", %d timewaits", e.TimeWaits)
	}
	if e.Lost > 0 {
		told += fmt.Sprintf(", %d lost", e.Lost)
	}
	return told
}

func verdict(v experiments.Verdict, reason string, colour bool) string {
	s := string(v)
	if colour {
		s = colours[v].Sprint(s)
	}
	return strings.TrimSuffix(s+": "+reason, ": ")
}

var colours = map[experiments.Verdict]text.Color{
	experiments.Held:         text.FgGreen,
	experiments.Refuted:      text.FgRed,
	experiments.Inconclusive: text.FgYellow,
	experiments.Skipped:      text.FgHiBlack,
}
