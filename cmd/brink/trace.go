package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"brink/collector"
	"brink/collector/jsonl"
	"brink/collector/otlp"
	"brink/collector/text"
	"brink/loader"

	"github.com/urfave/cli/v2"
)

func traceCommand() *cli.Command {
	return &cli.Command{
		Name:  "trace",
		Usage: "show connections as they end, refused connects, bind conflicts and timewaits, live",
		Description: "One line a fact: a connection when it ends, with the times of all its states and the\n" +
			"process that owned it; a limit hit or a bind conflict at once, with the holder of the\n" +
			"port; each step of a timewait socket. Filters work in the kernel. ctrl-C ends it with\n" +
			"each namespace's TIME_WAIT ledger, held against the kernel's counters, and a summary\n" +
			"that says what was lost, if anything was. Where OTEL_EXPORTER_OTLP_ENDPOINT is set,\n" +
			"spans go there as well.\n\n" +
			"   brink trace --port 443            what happens on port 443, at either end\n" +
			"   brink trace --limit-hits --json   refusals alone, as JSON Lines",
		Flags: []cli.Flag{
			jsonFlag(), rungFlag(),
			&cli.BoolFlag{Name: "states", Usage: "every single state change as well"},
			&cli.BoolFlag{Name: "limit-hits", Usage: "only what was refused: limit hits, bind conflicts, failed connects"},
			&cli.UintFlag{Name: "pid", Usage: "only this process's"},
			&cli.UintFlag{Name: "port", Usage: "only with this local or peer port"},
			&cli.StringSliceFlag{Name: "cidr", Usage: "only with a local or peer address in `PREFIX` (repeatable)"},
			&cli.StringFlag{Name: "cgroup", Usage: "only of tasks in this cgroup v2 `PATH` or below it"},
			&cli.StringSliceFlag{Name: "netns", Usage: "only in this network namespace: `NETNS` is an inode number, pid:N, or a path (repeatable)"},
			&cli.DurationFlag{Name: "duration", Usage: "end after this long; 0 is never"},
		},
		Action: trace,
	}
}

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "JSON Lines on standard output, and nothing else there"}
}

func rungFlag() cli.Flag {
	return &cli.StringFlag{Name: "rung", EnvVars: []string{"BRINK_RUNG"},
		Usage: "the best way into the kernel to try: fentry, kprobe, tracepoint, poll or none"}
}

func trace(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("trace takes no argument %q: use its filters, see brink trace --help", c.Args().First())
	}
	options, err := traceOptions(c)
	if err != nil {
		return err
	}
	tracer, err := loader.Attach(options)
	if err != nil {
		return usageError{err}
	}
	defer tracer.Close()
	if err := blocked(tracer); err != nil {
		return err
	}
	out := newOutput(os.Stdout)
	defer out.stop()
	sinks, flush, err := exporting(c.Context, traceSink(c, out))
	if err != nil {
		return err
	}
	defer flush()
	known, err := collector.Preexisting()
	if err != nil {
		fmt.Fprintf(os.Stderr, "brink: sockets older than brink stay without an owner: %v\n", err)
	}
	books := openBooks(tracer, options.Filter)
	collect := newCollector(tracer, known, append(sinks, books)...)
	watch := collector.NewWatch(polled(tracer)...)
	watch.Wanted = polledWanted(options.Filter)
	if err := traceUntilDone(c, tracer, collect, watch, books, options.Filter.Netns); err != nil {
		return err
	}
	if err := books.tell(c, out); err != nil {
		return err
	}
	return summarize(c, out, tracer, collect, watch)
}

func traceUntilDone(c *cli.Context, tracer *loader.Tracer, collect *collector.Collector, watch *collector.Watch, books books, netns []uint32) error {
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	if d := c.Duration("duration"); d > 0 {
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	watch.Look(ctx, watched(netns), collect) // what was before counts for nothing
	fmt.Fprintf(os.Stderr, "tracing (%s); ctrl-C ends\n", modesInWords(tracer))
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var polls sync.WaitGroup
	polls.Go(func() { keepWatching(ctx, watch, collect, netns) })
	go books.keep(ctx, func() {
		polls.Wait()
		stop()
	})
	return collect.Run(running)
}

// exporting adds spans to what is told, if the environment names somewhere to
// send them.
func exporting(ctx context.Context, sink collector.Sink) (sinks []collector.Sink, flush func(), err error) {
	sinks, flush = []collector.Sink{sink}, func() {}
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return sinks, flush, nil
	}
	exporter, err := otlp.New(ctx, otlp.Options{ServiceVersion: version})
	if err != nil {
		return nil, nil, usageError{err}
	}
	return append(sinks, exporter), func() { flushSpans(exporter) }, nil
}

func traceSink(c *cli.Context, out *output) (sink collector.Sink) {
	if c.Bool("json") {
		sink = &jsonl.Sink{W: out, Identify: identify}
	} else {
		lines := &text.Sink{W: out, Colour: colourful(os.Stdout)}
		lines.Header()
		sink = lines
	}
	if c.Bool("limit-hits") {
		return refusalsOnly{sink}
	}
	return sink
}

func traceOptions(c *cli.Context) (loader.Options, error) {
	rung, err := loader.ParseRung(c.String("rung"))
	if err != nil {
		return loader.Options{}, usageError{err}
	}
	o := loader.Options{Best: rung, States: c.Bool("states")}
	o.Filter.PID = uint32(c.Uint("pid"))
	if port := c.Uint("port"); port > 65535 {
		return o, usagef("--port %d: a port is at most 65535", port)
	}
	o.Filter.Port = uint16(c.Uint("port"))
	o.Filter.Cgroup = cgroupDirectory(c.String("cgroup"))
	for _, s := range c.StringSlice("cidr") {
		prefix, err := parsePrefix(s)
		if err != nil {
			return o, err
		}
		o.Filter.CIDRs = append(o.Filter.CIDRs, prefix)
	}
	for _, s := range c.StringSlice("netns") {
		netns, err := parseNetns(s)
		if err != nil {
			return o, err
		}
		o.Filter.Netns = append(o.Filter.Netns, netns)
	}
	return o, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Prefix(addr.BitLen())
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return prefix, usagef("--cidr %s is neither an address nor a prefix such as 10.0.0.0/8 or 2001:db8::/32", s)
	}
	return prefix, nil
}

// cgroupDirectory completes a path as /proc/PID/cgroup shows it.
func cgroupDirectory(path string) string {
	root := collector.CgroupRoot()
	if path == "" || root == "" || strings.HasPrefix(path, root) {
		return path
	}
	return filepath.Join(root, path)
}

// refusalsOnly lets through what said no to somebody.
type refusalsOnly struct{ to collector.Sink }

// Accept implements collector.Sink.
func (r refusalsOnly) Accept(f collector.Fact) {
	switch f := f.(type) {
	case *collector.LimitHit, *collector.BindConflict, *collector.ConnectFailures:
		r.to.Accept(f)
	case *collector.Connection:
		if f.Errno != 0 && !f.Established() && !f.Preexisting {
			r.to.Accept(f)
		}
	case *collector.TimeWait:
		if f.Event == collector.TimeWaitOverflow {
			r.to.Accept(f)
		}
	}
}
