package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// scale is how brink does where a million sockets are.
type scale struct {
	Held    int `json:"held"` // connections
	Sockets int `json:"sockets"`

	Limits spread `json:"limits_seconds"` // brink limits, from start to end

	// CPU nanoseconds of a new connection beside few held ones and beside many.
	FewUntraced  float64 `json:"few_untraced_ns"`
	FewTraced    float64 `json:"few_traced_ns"`
	ManyUntraced float64 `json:"many_untraced_ns"`
	ManyTraced   float64 `json:"many_traced_ns"`

	RSS      int     `json:"rss_bytes"`
	MapBytes float64 `json:"map_bytes_per_endpoint"`
	Lost     uint64  `json:"lost"`
}

// The crowds: of 10^6 sockets and 1,000 processes for `brink limits`; of 10^6
// connections, which are twice as many sockets; and of few.
var (
	manySockets     = crowd{Processes: 1000, Connections: 500}
	manyConnections = crowd{Processes: 250, Connections: 4000}
	fewConnections  = crowd{Processes: 1, Connections: 1000}
)

func (c crowd) times(share float64) crowd {
	if c.Processes == 1 {
		return c
	}
	return crowd{Processes: max(1, int(float64(c.Processes)*share)), Connections: c.Connections}
}

// runScale takes minutes: full alone has it.
func (b *benchmark) runScale(ctx context.Context) error {
	b.scale = &scale{Held: manyConnections.times(b.share).Processes * manyConnections.Connections}
	if err := b.runLimits(ctx); err != nil {
		return fmt.Errorf("brink limits: %w", err)
	}
	t := b.tracerNamed(agent)
	if t == nil {
		return nil
	}
	var err error
	if b.scale.FewUntraced, err = b.beside(ctx, fewConnections, tracer{name: untraced}); err != nil {
		return err
	}
	if b.scale.FewTraced, err = b.beside(ctx, fewConnections, *t); err != nil {
		return err
	}
	many := manyConnections.times(b.share)
	if b.scale.ManyUntraced, err = b.beside(ctx, many, tracer{name: untraced}); err != nil {
		return err
	}
	b.scale.ManyTraced, err = b.beside(ctx, many, *t)
	return err
}

// runLimits times brink limits beside a crowd.
func (b *benchmark) runLimits(ctx context.Context) error {
	c := manySockets.times(b.share)
	w, err := gather(ctx, c)
	if err != nil {
		return err
	}
	defer w.close()
	b.scale.Sockets = 2 * c.Processes * c.Connections
	b.say("gathered %d sockets of %d processes", b.scale.Sockets, c.Processes)
	var seconds []float64
	for range 5 {
		begun := time.Now()
		if err := exec.CommandContext(ctx, b.brink, "limits", "--json").Run(); err != nil {
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				err = fmt.Errorf("%w: %s", err, exit.Stderr)
			}
			return err
		}
		seconds = append(seconds, time.Since(begun).Seconds())
	}
	b.scale.Limits = spreadOf(seconds)
	b.say("brink limits: %.2f s", b.scale.Limits.Median)
	return nil
}

// beside is what a new connection costs while a crowd, all of it traced, holds
// its own.
func (b *benchmark) beside(ctx context.Context, c crowd, t tracer) (cost float64, err error) {
	var at *running
	if t.args != nil {
		if at, err = startTracer(ctx, t, tracerCPU(loads[0])); err != nil {
			return 0, err
		}
		defer at.close()
		defer func() { err = errors.Join(err, b.ended(at)) }()
	}
	before := mapBytes(at)
	w, err := gather(ctx, c)
	if err != nil {
		return 0, err
	}
	defer w.close()
	held := c.Processes * c.Connections
	if at != nil {
		b.scale.RSS, _ = memory(at.cmd.Process.Pid)
		b.scale.MapBytes = float64(mapBytes(at)-before) / float64(2*held)
	}
	var costs []float64
	for range max(3, b.others) {
		r := round{}
		if _, err := b.work(ctx, loads[0], b.amount, at, &r); err != nil {
			return 0, err
		}
		costs = append(costs, r.cost())
		time.Sleep(settled)
	}
	cost = spreadOf(costs).Median
	b.say("beside %d connections, %s: %.2f µs", held, t.name, cost/1e3)
	return cost, nil
}

// ended takes the tracer's last word.
func (b *benchmark) ended(at *running) error {
	if err := at.stop(); err != nil {
		return err
	}
	lost, err := at.lost(at)
	b.scale.Lost += lost
	return err
}

// mapBytes is the kernel memory of all BPF maps that a process holds, as the
// kernel says in /proc (exact for maps that allocate as they go since 6.4).
func mapBytes(at *running) (sum int) {
	if at == nil {
		return 0
	}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", at.cmd.Process.Pid))
	seen := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), "map_type:") {
			continue
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			fields[key] = strings.TrimSpace(value)
		}
		if id := fields["map_id"]; !seen[id] {
			seen[id] = true
			n, _ := strconv.Atoi(fields["memlock"])
			sum += n
		}
	}
	return sum
}
