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

// totals are what a trace comes to: what was seen, what was refused by the
// kernel's own count, and what was lost.
type totals struct {
	collector.Summary
	hits     bpf.Hits
	failures bpf.Failures
}

// total adds the refusals that were polled to those that hooks counted.
func total(t *loader.Tracer, c *collector.Collector, w *collector.Watch) (s totals, err error) {
	if s.Summary, err = c.Summary(); err != nil {
		return s, err
	}
	if s.hits, err = t.Hits(); err != nil {
		return s, err
	}
	for limit, n := range w.Hits() {
		s.hits[limit] += n
	}
	s.failures, err = t.Failures()
	return s, err
}

// summarize ends a trace.
func summarize(c *cli.Context, out *output, t *loader.Tracer, collect *collector.Collector, w *collector.Watch) error {
	s, err := total(t, collect, w)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		_, err = out.Write(jsonl.Marshal("summary", func(v collector.Visitor) { s.visit(v, t) }))
		return err
	}
	fmt.Fprintf(os.Stderr, "\n%d events%s%s, %s\n", s.Events, s.refusals(), s.failed(), losses(s.Summary))
	return nil
}

func (s *totals) visit(v collector.Visitor, t *loader.Tracer) {
	v.Uint("events", s.Events)
	v.Uint("lost", s.Lost)
	v.Uint("untracked", s.Untracked)
	v.Uint("missed", s.Missed)
	v.Uint("skipped", s.Skipped)
	v.Uint("undecodable", s.Undecodable)
	v.Uint("unresolved", s.Unresolved)
	v.Object("hits", func(v collector.Visitor) {
		for limit, n := range s.hits {
			if n > 0 {
				v.Uint(collector.Limit(limit).String(), n)
			}
		}
	})
	v.Object("failures", func(v collector.Visitor) {
		for failure, n := range s.failures {
			if n > 0 {
				v.Uint(collector.Failure(failure).String(), n)
			}
		}
	})
	v.Object("mode", func(v collector.Visitor) {
		for _, m := range t.Modes() {
			v.String(m.Name, m.Rung.String())
		}
	})
}

func (s *totals) refusals() (words string) {
	for limit, n := range s.hits {
		if n > 0 {
			words += fmt.Sprintf(", %d × %s", n, collector.Limit(limit))
		}
	}
	return words
}

func (s *totals) failed() (words string) {
	for failure, n := range s.failures {
		if n > 0 {
			words += fmt.Sprintf(", %d connections failed (%s)", n, collector.Failure(failure))
		}
	}
	return words
}

func losses(s collector.Summary) string {
	if s.Total() == 0 && s.Skipped == 0 {
		return "none lost"
	}
	return fmt.Sprintf("lost %d (ring full), untracked %d (map full), missed %d (unpaired returns), undecodable %d, skipped by the kernel %d",
		s.Lost, s.Untracked, s.Missed, s.Undecodable, s.Skipped)
}
