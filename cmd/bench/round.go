package main

import (
	"context"
	"fmt"
	"time"
)

// A round is one tracer on one load, once.
type round struct {
	Load   string `json:"load"`
	Tracer string `json:"tracer"`

	Connections int     `json:"connections"`
	Wall        float64 `json:"wall_ns_per_connection"`
	LoadCPU     float64 `json:"load_cpu_ns_per_connection"`
	TracerCPU   float64 `json:"tracer_cpu_ns_per_connection"`

	Told   int     `json:"told,omitempty"`    // ends of connections
	ToTell int     `json:"to_tell,omitempty"` // those that there were
	Lost   uint64  `json:"lost,omitempty"`    // as brink itself says
	Start  float64 `json:"start_ms,omitempty"`
	RSS    int     `json:"rss_bytes,omitempty"`

	seconds float64
}

// cost is CPU time per connection, whoever spent it.
func (r round) cost() float64 { return r.LoadCPU + r.TracerCPU }

// share is the part of one CPU that the tracer's process used.
func (r round) share() float64 {
	return r.TracerCPU * float64(r.Connections) / (r.seconds * 1e9)
}

// drained is how long a tracer gets after a load to read what has gathered:
// brink lets records gather for up to 100 ms.
const drained = 300 * time.Millisecond

// settled is the pause between rounds, in which the kernel takes the namespace
// of the last one down.
const settled = 300 * time.Millisecond

// measure runs one round.
func (b *benchmark) measure(ctx context.Context, l load, t tracer, a amount) (r round, err error) {
	r = round{Load: l.name, Tracer: t.name}
	defer time.Sleep(settled)
	if t.args == nil {
		_, err = b.work(ctx, l, a, nil, &r)
		return r, err
	}
	at, err := startTracer(ctx, t, tracerCPU(l))
	if err != nil {
		return r, err
	}
	defer at.close()
	r.Start = float64(at.start) / 1e6
	p, err := b.work(ctx, l, a, at, &r)
	r.RSS, _ = memory(at.cmd.Process.Pid)
	if stopped := at.stop(); err == nil {
		err = stopped
	}
	if err != nil {
		return r, err
	}
	return r, told(at, p, &r)
}

// tracerCPU is the load's CPU, if that has but one: so that what the tracer's
// process does delays connections, as it does on a machine without idle CPUs.
func tracerCPU(l load) int {
	if l.cpus > 1 {
		return anyCPU
	}
	return l.cpu(0)
}

// work has the load run, and takes its time and the tracer's.
func (b *benchmark) work(ctx context.Context, l load, a amount, at *running, r *round) (p *prepared, err error) {
	p, err = l.prepare(ctx, a)
	if err != nil {
		return nil, err
	}
	defer p.close()
	time.Sleep(drained) // what warming up has left
	used := at.cpuTime()
	stop := a.goesOnBeside(ctx, at)
	done, err := p.run()
	stop()
	if err != nil {
		return nil, err
	}
	if at != nil {
		time.Sleep(drained)
	}
	n := float64(done.Connections)
	r.Connections, r.seconds = done.Connections, done.Wall.Seconds()
	r.Wall, r.LoadCPU = float64(done.Wall)/n, float64(done.CPU)/n
	r.TracerCPU = float64(at.cpuTime()-used) / n
	p.done = done.Connections
	if at == nil {
		return p, nil
	}
	return p, at.scrape(ctx)
}

func (r *running) cpuTime() time.Duration {
	if r == nil {
		return 0
	}
	return cpuTime(r.cmd.Process.Pid)
}

// told holds what the tracer told against what there was.
func told(at *running, p *prepared, r *round) (err error) {
	if at.lost != nil {
		if r.Lost, err = at.lost(at); err != nil {
			return err
		}
	}
	if at.lines == nil {
		return nil
	}
	r.ToTell = p.load.endpoints(p.done + p.warm)
	if at.ends == 1 && p.load.kind != refused {
		r.ToTell /= 2
	}
	if r.Told, err = at.lines(at.output, p); err != nil {
		return err
	}
	if r.Told == 0 {
		return fmt.Errorf("%s saw nothing of %d ends of connections: %s", at.name, r.ToTell, at.errors)
	}
	return nil
}
