package main

import (
	"fmt"
	"os"

	"brink/bpf"
	"brink/collector"
	"brink/collector/jsonl"
	"brink/loader"

	"github.com/urfave/cli/v2"
)

// summarize ends a trace: what was seen, what was refused by the kernel's own
// count, and what was lost.
func summarize(c *cli.Context, out *output, t *loader.Tracer, collect *collector.Collector) error {
	summary, err := collect.Summary()
	if err != nil {
		return err
	}
	hits, err := t.Hits()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		_, err = out.Write(jsonl.Marshal("summary", func(v collector.Visitor) { visitSummary(v, summary, hits, t) }))
		return err
	}
	fmt.Fprintf(os.Stderr, "\n%d events%s, %s\n", summary.Events, refusals(hits), losses(summary))
	return nil
}

func visitSummary(v collector.Visitor, s collector.Summary, hits bpf.Hits, t *loader.Tracer) {
	v.Uint("events", s.Events)
	v.Uint("lost", s.Lost)
	v.Uint("untracked", s.Untracked)
	v.Uint("missed", s.Missed)
	v.Uint("skipped", s.Skipped)
	v.Uint("undecodable", s.Undecodable)
	v.Uint("unresolved", s.Unresolved)
	v.Object("hits", func(v collector.Visitor) {
		for limit, n := range hits {
			if n > 0 {
				v.Uint(collector.Limit(limit).String(), n)
			}
		}
	})
	v.Object("mode", func(v collector.Visitor) {
		for _, m := range t.Modes() {
			v.String(m.Name, m.Rung.String())
		}
	})
}

func refusals(hits bpf.Hits) (s string) {
	for limit, n := range hits {
		if n > 0 {
			s += fmt.Sprintf(", %d × %s", n, collector.Limit(limit))
		}
	}
	return s
}

func losses(s collector.Summary) string {
	if s.Total() == 0 && s.Skipped == 0 {
		return "none lost"
	}
	return fmt.Sprintf("lost %d (ring full), untracked %d (map full), missed %d (unpaired returns), undecodable %d, skipped by the kernel %d",
		s.Lost, s.Untracked, s.Missed, s.Undecodable, s.Skipped)
}
