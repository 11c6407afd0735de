package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"brink/collector"
	"brink/collector/diagnosis"
	"brink/collector/sockdiag"
	"brink/loader"
)

// whyWatch is how refusals are watched.
type whyWatch struct {
	rung   loader.Rung
	span   time.Duration // 0: not at all
	filter loader.Filter
	hooks  []string // that the subject's refusals come from
	agent  string   // the socket of an agent that may know them already
}

// watch asks the agent or, without one, traces until the time is over or ctrl-C
// ends it early. That the kernel
// cannot be traced is told, and no failure: the snapshot is worth having.
func (w *whyWatch) watch(ctx context.Context, refusals *diagnosis.Refusals) diagnosis.Watched {
	if w.span == 0 {
		return diagnosis.Watched{WhyNot: "What has just been refused was not watched (--duration 0)."}
	}
	if told, ok := w.ask(ctx, refusals); ok {
		return told
	}
	tracer, err := loader.Attach(loader.Options{Best: w.rung, Filter: w.filter})
	if err != nil {
		return diagnosis.Watched{WhyNot: fmt.Sprintf("What is being refused could not be watched: %v.", err)}
	}
	defer tracer.Close()
	if err := blocked(tracer); err != nil {
		return diagnosis.Watched{WhyNot: fmt.Sprintf("What is being refused could not be watched: %v.", err)}
	}
	collect := newCollector(tracer, nil, refusals)
	counters := collector.NewWatch(polled(tracer)...)
	w.look(ctx, counters, collect) // what later looks are compared with
	if w.span >= time.Second {
		fmt.Fprintf(os.Stderr, "watching for %s; ctrl-C ends early\n", w.span)
	}
	began := time.Now()
	if err := w.run(ctx, counters, collect); err != nil {
		return diagnosis.Watched{WhyNot: fmt.Sprintf("What is being refused could not be watched to the end: %v.", err)}
	}
	told := diagnosis.Watched{
		For: max(time.Since(began), time.Millisecond), By: modesInWords(tracer),
		Refusals: refusals.All(), Unnamed: refusals.Unnamed(), Blind: w.blind(tracer),
	}
	if s, err := collect.Summary(); err == nil {
		told.Lost = s.Total()
	}
	return told
}

func (w *whyWatch) run(ctx context.Context, counters *collector.Watch, collect *collector.Collector) error {
	ctx, cancel := context.WithTimeout(ctx, w.span)
	defer cancel()
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var polls sync.WaitGroup
	polls.Go(func() { w.poll(ctx, counters, collect) })
	go func() {
		polls.Wait()
		stop()
	}()
	return collect.Run(running)
}

// poll looks at the counters every second, and at the end.
func (w *whyWatch) poll(ctx context.Context, counters *collector.Watch, collect *collector.Collector) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.look(context.WithoutCancel(ctx), counters, collect)
			return
		case <-tick.C:
			w.look(ctx, counters, collect)
		}
	}
}

// look reads the counters of the one namespace.
func (w *whyWatch) look(ctx context.Context, counters *collector.Watch, collect *collector.Collector) {
	netns := w.filter.Netns[0]
	if path := sockdiag.NetnsPath(netns, 0); path != "" {
		counters.Look(ctx, map[uint32]string{netns: path}, collect)
	}
}

// blind are the subject's hooks that this kernel does not have at all.
func (w *whyWatch) blind(tracer *loader.Tracer) (sentences []string) {
	for _, name := range w.hooks {
		if m := tracer.Mode(name); m.Rung == loader.None && m.Without != "" {
			sentences = append(sentences, fmt.Sprintf("On this kernel %s (brink doctor says why).", m.Without))
		}
	}
	return sentences
}
