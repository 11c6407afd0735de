package main

import (
	"log/slog"
	"os"
	"time"

	"brink/collector/metrics"
	"brink/loader"

	"github.com/urfave/cli/v2"
)

func agentCommand() *cli.Command {
	return &cli.Command{
		Name:  "agent",
		Usage: "run for ever: metrics for Prometheus and OTLP, spans of refusals and of a sample of connections",
		Description: "Counts every connection in the kernel, by namespace, role and way of ending; reads all\n" +
			"limits now and then; tells every refusal. No connection costs it a record, unless its span\n" +
			"is sampled (1 %, or what OTEL_TRACES_SAMPLER says).\n\n" +
			"   /metrics  for Prometheus, as OpenMetrics where that is asked for\n" +
			"   /healthz  200 while records are read and limits too; /readyz  200 once it observes\n\n" +
			"OTEL_EXPORTER_OTLP_ENDPOINT sends the same metrics, and spans, to a Collector; all standard\n" +
			"OTEL_* variables work. SIGTERM sends what is there and ends with status 0, within seconds;\n" +
			"SIGHUP has names and limits read anew. Under systemd, use Type=notify and WatchdogSec=.\n" +
			"What was refused lately is kept for brink why, which asks at --history-socket.",
		Flags: []cli.Flag{
			rungFlag(),
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:9435", EnvVars: []string{"BRINK_LISTEN"},
				Usage: "serve /metrics, /healthz and /readyz at `ADDRESS:PORT`; empty is nowhere"},
			&cli.DurationFlag{Name: "interval", Value: 15 * time.Second, EnvVars: []string{"BRINK_INTERVAL"},
				Usage: "read all limits every `TIME`; less often, up to a minute, where that takes more than 5 % of it"},
			&cli.IntFlag{Name: "max-series", Value: metrics.DefaultSeries, EnvVars: []string{"BRINK_MAX_SERIES"},
				Usage: "at most `N` series of one metric; the rest goes into one with otel.metric.overflow"},
			&cli.StringSliceFlag{Name: "netns", EnvVars: []string{"BRINK_NETNS"},
				Usage: "only this network namespace: `NETNS` is an inode number, pid:N, or a path (repeatable)"},
			&cli.StringFlag{Name: "cgroup", EnvVars: []string{"BRINK_CGROUP"},
				Usage: "only tasks in this cgroup v2 `PATH` or below it"},
			&cli.StringFlag{Name: "history-socket", Value: agentSocket, EnvVars: []string{"BRINK_HISTORY_SOCKET"},
				Usage: "answer brink why at this `PATH`, for its own user alone; empty is nowhere"},
			&cli.BoolFlag{Name: "program-stats", EnvVars: []string{"BRINK_PROGRAM_STATS"},
				Usage: "have the kernel time every run of a BPF program, all of this host's: some 20 ns each"},
			&cli.StringFlag{Name: "log-format", Value: "text", EnvVars: []string{"BRINK_LOG_FORMAT"}, Usage: "text or json, on standard error"},
			&cli.StringFlag{Name: "log-level", Value: "info", EnvVars: []string{"BRINK_LOG_LEVEL"}, Usage: "debug, info, warn or error"},
		},
		Action: runAgent,
	}
}

func runAgent(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("agent takes no argument %q: see brink agent --help", c.Args().First())
	}
	log, err := agentLogger(c.String("log-format"), c.String("log-level"))
	if err != nil {
		return err
	}
	options, err := agentOptions(c)
	if err != nil {
		return err
	}
	a := &agent{log: log, notify: notifier{log}, options: options, historySocket: c.String("history-socket"), programStats: c.Bool("program-stats")}
	a.readings.Interval = c.Duration("interval")
	if a.readings.Interval < time.Second {
		return usagef("--interval %s: give a second or more", a.readings.Interval)
	}
	if a.maxSeries = c.Int("max-series"); a.maxSeries < 2 {
		return usagef("--max-series %d: give 2 or more, one of which is for the rest", a.maxSeries)
	}
	if a.listener, err = agentListen(c.String("listen")); err != nil {
		return err
	}
	return a.run()
}

// agentOptions are what the kernel programs are asked for: sums, and records of
// refusals and samples alone.
func agentOptions(c *cli.Context) (loader.Options, error) {
	rung, err := loader.ParseRung(c.String("rung"))
	if err != nil {
		return loader.Options{}, usageError{err}
	}
	o := loader.Options{Best: rung, Tally: true}
	o.Filter.Cgroup = cgroupDirectory(c.String("cgroup"))
	for _, s := range c.StringSlice("netns") {
		netns, err := parseNetns(s)
		if err != nil {
			return o, err
		}
		o.Filter.Netns = append(o.Filter.Netns, netns)
	}
	return o, nil
}

func agentLogger(format, level string) (*slog.Logger, error) {
	var options slog.HandlerOptions
	var at slog.Level
	if err := at.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("--log-level %s: use debug, info, warn or error", level)
	}
	options.Level = at
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, &options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, &options)), nil
	}
	return nil, usagef("--log-format %s: use text or json", format)
}
