package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	beOther() // a load, or what becomes a tracer, never gets past this
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := bench(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// settings are the command line.
type settings struct {
	brink   string
	out     string
	size    string
	rows    string
	tracers string
	profile bool
	golang  string
	kernel  string
	rung    string
	peers   string
	share   float64
	rounds  int
	count   int
}

func parseSettings(args []string) (s settings, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&s.brink, "brink", "bin/brink", "the brink to measure")
	f.StringVar(&s.out, "out", "", "where the results go; brink-report/bench.json, or profile.json or guest.json there")
	f.StringVar(&s.size, "size", "default", "quick, default, full (with ten million connections in a row, and a million sockets at once), or guest (an emulated one, in which instructions are counted)")
	f.StringVar(&s.rows, "rows", "", "only these parts, by comma: loads, start, steady, soak, scale, or a kind of load: time_wait, reset, refused")
	f.StringVar(&s.tracers, "tracers", "", "only these tracers, by comma (untraced always runs)")
	f.BoolVar(&s.profile, "profile", false, "run time of each BPF program instead, one round; with -size guest its instructions")
	f.StringVar(&s.golang, "gobench", "", "a file with the output of go test -bench to judge as well")
	f.StringVar(&s.rung, "rung", "", "brink's best way into the kernel: fentry, kprobe or tracepoint")
	f.StringVar(&s.peers, "peers", "", "the folder with the peers' system; fetched when empty")
	f.Float64Var(&s.share, "share", 1, "for the part scale: how much of a million to hold")
	f.StringVar(&s.kernel, "kernel", "6.12", "the guest's: 5.10, 6.1, 6.12 or 7.2")
	f.IntVar(&s.rounds, "rounds", 0, "rounds; 0: as the size has it")
	f.IntVar(&s.count, "connections", 0, "connections of a load; 0: as the size has it")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if _, known := sizes[s.size]; f.NArg() > 0 || !known {
		return s, fmt.Errorf("usage: bench [flags], with -size quick, default, full or guest; see -help")
	}
	if s.out == "" {
		s.out = "brink-report/" + s.kindOfResult() + ".json"
	}
	return s, nil
}

func (s settings) kindOfResult() string {
	switch {
	case s.profile:
		return "profile"
	case s.size == guest:
		return guest
	}
	return "bench"
}

func bench(ctx context.Context, args []string) error {
	s, err := parseSettings(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("run as root: both brink and its peers load BPF programs")
	}
	if s.size == guest {
		return guests(ctx, s)
	}
	b, err := newBench(ctx, s)
	if err != nil {
		return err
	}
	if s.profile {
		return b.profile(ctx)
	}
	return b.run(ctx)
}

// wants reports whether a part was asked for; all are when none is named.
func wants(list, name string) bool {
	if list == "" {
		return true
	}
	for part := range strings.SplitSeq(list, ",") {
		if part == name {
			return true
		}
	}
	return false
}
