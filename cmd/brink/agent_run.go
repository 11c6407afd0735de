package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/metrics"
	"brink/collector/otlp"
	"brink/loader"
)

// agentPatience is how long the end may take: what cannot be sent by then is lost
// and counted. systemd's own patience is 90 s, Kubernetes' 30 s.
const agentPatience = 8 * time.Second

// agent is everything that runs for ever.
//
//	kernel ─→ tallies ───────────────────────────────┐
//	       └─→ records ─→ collector ─┬─→ hits ───────┼─→ metrics ─→ /metrics, OTLP
//	                                 ├─→ history     │
//	                                 └─→ spans       │
//	limits, now and then ────────────────────────────┘
type agent struct {
	log           *slog.Logger
	options       loader.Options
	listener      net.Listener
	historySocket string
	maxSeries     int
	programStats  bool

	tracer     *loader.Tracer
	collect    *collector.Collector
	exporter   *otlp.Exporter
	exports    *metrics.Exports
	readings   metrics.Readings
	namespaces metrics.Namespaces
	hits       metrics.Hits
	history    history
	pulse      pulse
	observing  atomic.Bool
	notify     notifier
}

// run is the agent's life.
func (a *agent) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second SIGTERM ends brink at once
	}()
	hangups := make(chan os.Signal, 1) // from now on SIGHUP does not end brink
	signal.Notify(hangups, syscall.SIGHUP)
	web := a.serve()
	defer web.close()
	release, err := a.open(ctx)
	defer release()
	if err != nil {
		return err
	}
	err = a.observe(ctx, hangups)
	web.close() // nobody asks for what is being taken down
	a.flush()
	a.log.Info("ended")
	return err
}

// observe runs until ctx is done; an error is that no records can be read.
func (a *agent) observe(ctx context.Context, hangups <-chan os.Signal) error {
	running, halt := context.WithCancel(context.WithoutCancel(ctx))
	defer halt()
	a.keep(running, hangups)
	reading, finish := context.WithCancel(context.WithoutCancel(ctx))
	defer finish()
	failed := make(chan error, 1)
	go func() { failed <- a.collect.Run(reading) }()
	a.log.Info("observing", "hooks", modesInWords(a.tracer), "otlp_metrics", a.exports.OTLP)
	select {
	case <-ctx.Done():
	case err := <-failed:
		a.notify.send("STOPPING=1")
		return fmt.Errorf("read the kernel's records: %w", err)
	}
	a.notify.send("STOPPING=1")
	halt()
	finish()
	return a.await(failed)
}

// open gets everything that a later failure must give back.
func (a *agent) open(ctx context.Context) (release func(), err error) {
	closers := []func(){}
	release = func() {
		for i := len(closers) - 1; i >= 0; i-- {
			closers[i]()
		}
	}
	if err := completeResource(); err != nil {
		return release, err
	}
	if a.exporter, err = otlp.New(ctx, otlp.Options{ServiceVersion: version, Logger: a.log, DefaultRatio: defaultSampleRatio}); err != nil {
		return release, usageError{err}
	}
	if tracesWanted(os.Getenv) {
		a.options.SampleRatio = a.exporter.Ratio()
		a.hits.Identify = a.exporter.SpanOf
	}
	if a.tracer, err = loader.Attach(a.options); err != nil {
		return release, usageError{err}
	}
	closers = append(closers, func() { a.tracer.Close() })
	a.tellDegraded()
	if a.programStats {
		stats, err := loader.EnableStats()
		if err != nil {
			a.log.Warn("brink.program.run.* stay zero", "error", err)
			stats = io.NopCloser(nil)
		}
		closers = append(closers, func() { stats.Close() })
	}
	a.gather()
	if err := a.export(ctx); err != nil {
		return release, usageError{err}
	}
	if a.historySocket != "" {
		closers = append(closers, a.answer(a.historySocket))
	}
	return release, nil
}

// gather makes the collector with its sinks. Of the sockets that are there
// already the listeners alone are remembered: the others' ends are tallied by
// nobody's name.
func (a *agent) gather() {
	known, err := collector.PreexistingListeners()
	if err != nil {
		a.log.Warn("listeners older than brink stay without an owner", "error", err)
	}
	a.history.watches(a.options.Filter)
	a.collect = collector.New(&beating{a.tracer, &a.pulse}, known, &a.hits, &a.history, a.exporter)
	if !a.tracer.TellsTurns() {
		a.collect.InferTurns()
	}
}

// keep starts what goes on beside the collector until ctx is done.
func (a *agent) keep(ctx context.Context, hangups <-chan os.Signal) {
	a.readings.Read = func(limits.Snapshot) {
		if ctx.Err() == nil {
			a.forgetGone()
		}
	}
	go a.readings.Keep(ctx)
	go a.watchCounters(ctx)
	go a.reloads(ctx, hangups)
	go a.beats(ctx)
}

// forgetGone drops what is kept of namespaces that went: a host of containers
// has new ones all the time.
func (a *agent) forgetGone() {
	for _, netns := range a.namespaces.Look(time.Now()) {
		a.hits.Forget(netns)
		if err := a.tracer.ForgetNetns(netns); err != nil {
			a.log.Warn("the sums of a namespace that is gone stay", "netns", netns, "error", err)
		}
	}
}

// polls is how often counters are looked at where no hook tells of refusals.
const polls = 5 * time.Second

// watchCounters has no cost where hooks tell of every limit.
func (a *agent) watchCounters(ctx context.Context) {
	list := polled(a.tracer)
	if len(list) == 0 {
		return
	}
	watch := collector.NewWatch(list...)
	watch.Wanted = polledWanted(a.options.Filter)
	tick := time.NewTicker(polls)
	defer tick.Stop()
	for {
		namespaces := watched(a.options.Filter.Netns)
		watch.Look(ctx, namespaces, a.collect)
		watch.Forget(namespaces)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// await gives the collector time to read what the kernel had told.
func (a *agent) await(failed <-chan error) error {
	select {
	case err := <-failed:
		return err
	case <-time.After(agentPatience / 2):
		a.log.Warn("the last records were not read in time")
		return nil
	}
}

// flush sends what is left. That a backend does not take it is no failure of the
// agent's.
func (a *agent) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), agentPatience/2)
	defer cancel()
	var both sync.WaitGroup
	both.Go(func() {
		if err := a.exports.Shutdown(ctx); err != nil {
			a.log.Warn("the last metrics were not sent", "error", err)
		}
	})
	both.Go(func() {
		if err := a.exporter.Shutdown(ctx); err != nil {
			s := a.exporter.Stats()
			a.log.Warn("spans were not sent", "error", err, "failed", s.Failed, "dropped", s.Dropped)
		}
	})
	both.Wait()
}

// tellDegraded says once what is not seen here.
func (a *agent) tellDegraded() {
	if err := a.tracer.Blocked(); err != nil {
		a.log.Warn("the kernel cannot be traced: limits are read, connections are not counted", "why", err, "advice", a.tracer.Advice())
		return
	}
	var lost []string
	for _, m := range a.tracer.Modes() {
		if m.Rung == loader.None {
			lost = append(lost, m.Name)
		}
	}
	if len(lost) > 0 {
		a.log.Info("some hooks are not to be had here: brink doctor says what that costs", "hooks", strings.Join(lost, " "))
	}
}
