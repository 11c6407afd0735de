package main

import (
	"context"
	"time"

	"brink/collector/metrics"
	"brink/collector/otlp"
)

// export opens the ways on which metrics leave.
func (a *agent) export(ctx context.Context) error {
	producer := metrics.New(metrics.Options{
		Version: version, Start: time.Now(), MaxSeries: a.maxSeries, Logger: a.log,
		Namespaces: &a.namespaces, Readings: &a.readings, Hits: &a.hits,
		Lives: a.tracer.Lives, TimeWaits: a.tracer.TimeWaits, Summary: a.collect.Summary,
		Programs: a.programs(), Modes: a.modes, Spans: a.spans, MapBytes: a.tracer.MapBytes,
	})
	who, err := otlp.Resource(ctx, version)
	if err != nil {
		return err
	}
	a.exports, err = metrics.Export(ctx, producer, who)
	return err
}

// programs is nil, and with it the metrics are absent, unless the kernel counts.
func (a *agent) programs() func() []metrics.Program {
	if !a.programStats {
		return nil
	}
	return func() (list []metrics.Program) {
		for _, c := range a.tracer.Costs() {
			list = append(list, metrics.Program{Name: c.Name, Runs: c.Runs, Time: c.Time})
		}
		return list
	}
}

func (a *agent) modes() (list []metrics.Mode) {
	for _, m := range a.tracer.Modes() {
		list = append(list, metrics.Mode{Hook: m.Name, Rung: m.Rung.String()})
	}
	return list
}

func (a *agent) spans() metrics.Spans {
	s := a.exporter.Stats()
	return metrics.Spans{Sent: s.Sent, Dropped: s.Dropped, Failed: s.Failed, Queued: s.Queued}
}
