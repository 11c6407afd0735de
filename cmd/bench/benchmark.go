package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A size is how much is measured.
type size struct {
	rounds int // on the first load, with all tracers
	others int // on the other loads, with those of the goals
	amount amount
	steady time.Duration
	soak   int // connections
	starts int
}

var sizes = map[string]size{
	"quick":   {rounds: 3, amount: amount{warm: 2000, count: 20_000}, steady: 5 * time.Second, starts: 3},
	"default": {rounds: 15, others: 5, amount: amount{warm: 2000, count: 20_000}, steady: time.Minute, starts: 7},
	"full":    {rounds: 21, others: 9, amount: amount{warm: 2000, count: 20_000}, steady: time.Minute, soak: 10_000_000, starts: 11},
	guest:     {},
	inside:    {rounds: 3, amount: amount{warm: 300, count: 3000}},
}

// compared are the tracers on loads other than the first.
var compared = []string{untraced, agent, jsonLines, hollow, tcplife}

// A benchmark is one run of bench.
type benchmark struct {
	settings
	size
	tracers []tracer
	rounds  []round
	steady  *round
	starts  []float64 // milliseconds
	attach  attach
	soak    *soak
	scale   *scale
	golang  []goRow
	begun   time.Time
}

func newBench(ctx context.Context, s settings) (*benchmark, error) {
	brink, err := filepath.Abs(s.brink)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(brink); err != nil {
		return nil, fmt.Errorf("%w (make build)", err)
	}
	s.brink = brink
	b := &benchmark{settings: s, size: sizes[s.size], begun: time.Now()}
	if s.golang != "" {
		if b.golang, err = goBenchmarks(s.golang); err != nil {
			return nil, err
		}
	}
	if s.rounds > 0 {
		b.size.rounds, b.size.others = s.rounds, s.rounds
	}
	if s.count > 0 {
		b.amount.count = s.count
	}
	p := peers{s.peers}
	if p.root == "" {
		if p, err = fetchPeers(ctx, "", peersPackages); err != nil {
			fmt.Fprintf(os.Stderr, "bench: without peers to compare: %v\n", err)
		}
	}
	all, err := tracers(ctx, brink, s.rung, p)
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if t.args == nil || wants(s.tracers, t.name) {
			b.tracers = append(b.tracers, t)
		}
	}
	return b, nil
}

func (b *benchmark) run(ctx context.Context) error {
	parts := []struct {
		name string
		run  func(context.Context) error
	}{
		{"loads", b.runLoads}, {"start", b.runStarts}, {"steady", b.runSteady}, {"soak", b.runSoak}, {"scale", b.runScale},
	}
	for _, part := range parts {
		if !b.wantsPart(part.name) {
			continue
		}
		if err := part.run(ctx); err != nil {
			return err
		}
	}
	return b.report(os.Stdout)
}

// wantsPart: naming a load asks for the loads.
func (b *benchmark) wantsPart(name string) bool {
	named := slices.ContainsFunc(loads, func(l load) bool { return b.settings.rows != "" && wants(b.settings.rows, l.kind) })
	if name == "scale" && b.settings.rows == "" {
		return b.settings.size == "full"
	}
	return wants(b.settings.rows, name) || name == "loads" && named
}

// runLoads alternates: a round has every load with every tracer once, and each
// round starts with another tracer, so that what changes on the machine meanwhile
// changes for all.
func (b *benchmark) runLoads(ctx context.Context) error {
	for n := range b.size.rounds {
		for i, l := range loads {
			if l.cpus > runtime.NumCPU() || i > 0 && n >= b.others || b.named() && !wants(b.settings.rows, l.kind) {
				continue
			}
			for k := range b.tracers {
				t := b.tracers[(k+n)%len(b.tracers)]
				if i > 0 && !slices.Contains(compared, t.name) {
					continue
				}
				if err := b.runRound(ctx, n, l, t); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *benchmark) named() bool { return b.settings.rows != "" && !wants(b.settings.rows, "loads") }

func (b *benchmark) runRound(ctx context.Context, n int, l load, t tracer) error {
	r, err := b.measure(ctx, l, t, b.amount)
	if err != nil {
		return fmt.Errorf("%s with %s: %w", l.name, t.name, err)
	}
	b.say("round %d/%d  %-18s %-20s %6.2f µs CPU %6.2f µs wall%s", n+1, b.size.rounds, l.name, t.name, r.cost()/1e3, r.Wall/1e3, r.seen())
	b.rounds = append(b.rounds, r)
	return nil
}

// seen says what a tracer has missed.
func (r round) seen() string {
	var words []string
	if r.Told != r.ToTell && r.ToTell > 0 {
		words = append(words, fmt.Sprintf("told %d of %d", r.Told, r.ToTell))
	}
	if r.Lost > 0 {
		words = append(words, fmt.Sprintf("lost %d", r.Lost))
	}
	if len(words) == 0 {
		return ""
	}
	return "  " + strings.Join(words, ", ")
}

func (b *benchmark) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0fs  "+format+"\n", append([]any{time.Since(b.begun).Seconds()}, args...)...)
}

// tracerNamed is nil when it was not asked for.
func (b *benchmark) tracerNamed(name string) *tracer {
	for i := range b.tracers {
		if b.tracers[i].name == name {
			return &b.tracers[i]
		}
	}
	return nil
}
