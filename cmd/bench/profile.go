package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// A usage is what one BPF program has run.
type usage struct {
	Program string        `json:"program"`
	Kind    string        `json:"kind"`
	Runs    uint64        `json:"runs"`
	Time    time.Duration `json:"ns"`
	Size    uint32        `json:"jited_bytes,omitempty"`
}

// profile runs each load once with each tracer while the kernel takes the time of
// every run of a program (BPF_ENABLE_STATS, since 5.8). Taking it costs, so what
// the loads cost meanwhile is not comparable with other runs.
func (b *benchmark) profile(ctx context.Context) error {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return fmt.Errorf("have the kernel time BPF programs: %w", err)
	}
	defer stats.Close()
	all := map[string][]usage{}
	for _, l := range loads {
		if b.settings.rows != "" && !wants(b.settings.rows, l.kind) {
			continue
		}
		for _, t := range b.tracers {
			if t.args == nil || l.name != loads[0].name && !slices.Contains(compared, t.name) {
				continue
			}
			used, n, err := b.profileRound(ctx, l, t)
			if err != nil {
				return err
			}
			all[l.name+", "+t.name] = used
			printUsage(os.Stdout, l, t, used, n)
		}
	}
	return writeJSON(b.settings.out, map[string]any{"profile": all})
}

// profileRound returns what each program ran, and how many connections for.
func (b *benchmark) profileRound(ctx context.Context, l load, t tracer) (used []usage, n int, err error) {
	at, err := startTracer(ctx, t, tracerCPU(l))
	if err != nil {
		return nil, 0, err
	}
	defer at.close()
	used, n, err = profileLoad(ctx, l, b.amount, at.cmd.Process.Pid)
	return used, n, errors.Join(err, at.stop())
}

func profileLoad(ctx context.Context, l load, a amount, pid int) (used []usage, n int, err error) {
	p, err := l.prepare(ctx, a)
	if err != nil {
		return nil, 0, err
	}
	defer p.close()
	before, err := usagesOf(pid)
	if err != nil {
		return nil, 0, err
	}
	done, err := p.run()
	if err != nil {
		return nil, 0, err
	}
	after, err := usagesOf(pid)
	for id, u := range after {
		if u.Runs -= before[id].Runs; u.Runs > 0 {
			u.Time -= before[id].Time
			used = append(used, u)
		}
	}
	slices.SortFunc(used, func(x, y usage) int { return cmp.Compare(y.Time, x.Time) })
	return used, done.Connections, err
}

// usagesOf reads the counters of a process's programs, by program.
func usagesOf(pid int) (map[uint32]usage, error) {
	used := map[uint32]usage{}
	for _, id := range programsOf(pid) {
		p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
		if err != nil {
			return nil, fmt.Errorf("open program %d: %w", id, err)
		}
		u, err := usageOf(p)
		p.Close()
		if err != nil {
			return nil, fmt.Errorf("program %d: %w", id, err)
		}
		used[id] = u
	}
	return used, nil
}

func usageOf(p *ebpf.Program) (u usage, err error) {
	info, err := p.Info()
	if err != nil {
		return u, err
	}
	stats, err := p.Stats()
	if err != nil {
		return u, err
	}
	u = usage{Program: info.Name, Kind: info.Type.String(), Runs: stats.RunCount, Time: stats.Runtime}
	u.Size, _ = info.JitedSize()
	// A program's name has 15 characters; its function's, in BTF, has them all.
	if functions, err := info.FuncInfos(); err == nil && len(functions) > 0 {
		u.Program = functions[0].Func.Name
	}
	return u, nil
}

func printUsage(w io.Writer, l load, t tracer, used []usage, connections int) {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\n%s, %s: %d connections\n", l.name, t.name, connections)
	fmt.Fprintln(out, "ns a run\truns a connection\tns a connection\tbytes of code\t program\t")
	var runs, total float64
	for _, u := range used {
		perConnection := float64(u.Runs) / float64(connections)
		runs, total = runs+perConnection, total+float64(u.Time)/float64(connections)
		fmt.Fprintf(out, "%.0f\t%.2f\t%.0f\t%d\t %s\t\n", float64(u.Time)/float64(u.Runs), perConnection,
			float64(u.Time)/float64(connections), u.Size, u.Program)
	}
	fmt.Fprintf(out, "\t%.2f\t%.0f\t\t all\t\n", runs, total)
	out.Flush()
}
