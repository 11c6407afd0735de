package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"brink/experiments"
	"brink/experiments/report"
	"brink/loader"

	"github.com/urfave/cli/v2"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run experiments with the kernel traced, and judge their predictions",
		ArgsUsage: "[NAME ...]",
		Description: "Each experiment computes a prediction from settings, pushes connections until the kernel\n" +
			"says no, in a private network namespace, and holds prediction, measurement and the\n" +
			"kernel's own evidence against each other. Nothing on the host changes. Without a name\n" +
			"all of them run; brink list shows the names.\n\n" +
			"   brink run                           all, at a size that takes seconds\n" +
			"   brink run ephemeral-ports --full    one, with this host's real values",
		Flags: []cli.Flag{
			jsonFlag(), rungFlag(),
			&cli.BoolFlag{Name: "full", Usage: "push to the host's real values instead of small ones"},
			&cli.BoolFlag{Name: "host-wide", Usage: "push limits of the whole host, too: only on a machine made for it"},
			&cli.StringFlag{Name: "out", Value: "brink-report", Usage: "write results.jsonl and spans.otlp.jsonl into `DIR`"},
		},
		Action: run,
	}
}

func run(c *cli.Context) (err error) {
	chosen, err := choose(c.Args().Slice())
	if err != nil {
		return err
	}
	rung, err := loader.ParseRung(c.String("rung"))
	if err != nil {
		return usageError{err}
	}
	files, err := report.Create(c.String("out"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close(), giveBack(c.String("out"))) }()
	kernel, err := traceLabs(c.Context, rung, endpointsFor(c.Bool("full")), filepath.Join(c.String("out"), report.SpansFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kernel.close()) }()
	if advice := kernel.tracer.Advice(); advice != "" {
		fmt.Fprintf(os.Stderr, "brink: running without kernel evidence: %s\n", advice)
	}
	runner := kernel.runner(experiments.Size{Full: c.Bool("full"), HostWide: c.Bool("host-wide")})
	results, err := runAll(c, runner, chosen, files)
	if err != nil {
		return err
	}
	return conclude(c, results)
}

// choose finds the named experiments, or takes all.
func choose(names []string) ([]experiments.Experiment, error) {
	if len(names) == 0 {
		return experiments.All(), nil
	}
	var chosen []experiments.Experiment
	for _, name := range names {
		if strings.HasPrefix(name, "-") {
			return nil, usagef("unknown option %s: see brink run --help", name)
		}
		e, ok := experiments.Find(name)
		if !ok {
			return nil, usagef("there is no experiment %q: brink list shows them", name)
		}
		chosen = append(chosen, e)
	}
	return chosen, nil
}

func runAll(c *cli.Context, r *experiments.Runner, chosen []experiments.Experiment, files *report.Files) ([]experiments.Result, error) {
	var results []experiments.Result
	for _, e := range chosen {
		result := r.Run(c.Context, e)
		results = append(results, result)
		if err := files.Add(result); err != nil {
			return results, err
		}
		if c.Bool("json") {
			if err := report.WriteLine(os.Stdout, result); err != nil {
				return results, err
			}
		}
		if c.Context.Err() != nil {
			break
		}
	}
	return results, nil
}

// conclude shows the table and makes the exit status: 0 only if all held. What a
// run of the whole catalogue skips, for a reason that is in the table, nobody has
// asked for by name.
func conclude(c *cli.Context, results []experiments.Result) error {
	if !c.Bool("json") {
		report.Table(newTable(os.Stdout), results, colourful(os.Stdout))
		report.Matrices(os.Stdout, results, c.String("out"))
		fmt.Printf("\nreport: %s, %s\n", filepath.Join(c.String("out"), report.ResultsFile), filepath.Join(c.String("out"), report.SpansFile))
	}
	if c.Context.Err() != nil {
		return errors.New("interrupted")
	}
	for _, r := range results {
		if r.Verdict != experiments.Held && (r.Verdict != experiments.Skipped || c.Args().Present()) {
			return errNotHeld
		}
	}
	return nil
}

// progress writes to standard error, where results do not go.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

func listCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "show the experiments: what they ask, what they predict, how long they take",
		Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("list takes no argument %q", c.Args().First())
			}
			if c.Bool("json") {
				return report.ListJSON(os.Stdout, experiments.All())
			}
			report.List(newTable(os.Stdout), experiments.All())
			return nil
		},
	}
}

// giveBack makes the report belong to whoever called sudo.
func giveBack(dir string) error {
	uid, err := strconv.Atoi(os.Getenv("SUDO_UID"))
	if err != nil || os.Geteuid() != 0 {
		return nil
	}
	gid, err := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err != nil {
		return nil
	}
	var errs []error
	for _, path := range []string{dir, filepath.Join(dir, report.ResultsFile), filepath.Join(dir, report.SpansFile)} {
		errs = append(errs, os.Lchown(path, uid, gid))
	}
	if err := os.Lchown(filepath.Join(dir, report.MatrixFile), uid, gid); !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// endpointsFor is how many endpoints are tracked at once: connections-at-scale
// opens a million connections at full size, with both ends on this host. 0 is the
// loader's default.
func endpointsFor(full bool) uint32 {
	if full {
		return 1 << 22
	}
	return 0
}
