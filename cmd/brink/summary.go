package main

import (
	"fmt"
	"os"

	"brink/collector"
	"brink/collector/jsonl"
	"brink/loader"

	"github.com/urfave/cli/v2"
)

// summarize ends a trace: what was seen, and what was not.
func summarize(c *cli.Context, out *output, t *loader.Tracer, collect *collector.Collector) error {
	summary, err := collect.Summary()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		_, err = out.Write(jsonl.Marshal("summary", func(v collector.Visitor) { visitSummary(v, summary, t) }))
		return err
	}
	fmt.Fprintf(os.Stderr, "\n%d events, %s\n", summary.Events, losses(summary))
	return nil
}

func visitSummary(v collector.Visitor, s collector.Summary, t *loader.Tracer) {
	v.Uint("events", s.Events)
	v.Uint("lost", s.Lost)
	v.Uint("untracked", s.Untracked)
	v.Uint("missed", s.Missed)
	v.Uint("undecodable", s.Undecodable)
	v.Uint("unresolved", s.Unresolved)
	v.Object("mode", func(v collector.Visitor) {
		for _, m := range t.Modes() {
			v.String(m.Name, m.Rung.String())
		}
	})
}

func losses(s collector.Summary) string {
	if s.Total() == 0 {
		return "none lost"
	}
	return fmt.Sprintf("lost %d (ring full), untracked %d (map full), missed %d (unpaired returns), undecodable %d",
		s.Lost, s.Untracked, s.Missed, s.Undecodable)
}
