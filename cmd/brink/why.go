package main

import (
	"context"
	"errors"
	"os"
	"time"

	"brink/collector/diagnosis"
	"brink/loader"

	"github.com/urfave/cli/v2"
)

// whyWatches is how long refusals are watched for: a program that retries does
// so within a few seconds.
const whyWatches = 3 * time.Second

func whyCommand() *cli.Command {
	return &cli.Command{
		Name:      "why",
		Usage:     "a diagnosis: who holds a port, what a process is short of, what is in the way of a connect",
		ArgsUsage: "PORT|PID|ADDRESS:PORT",
		Description: "Looks at the host, watches for a few seconds what the kernel refuses, and says in plain\n" +
			"sentences what it found, where it was read, what would help, and what that costs. What is\n" +
			"not known is said. Nothing is connected to, and nothing sent. Where brink agent runs, it is\n" +
			"asked for the last minutes' refusals, and nothing is waited for.\n\n" +
			"   brink why 8080               a port: who holds it, in any state; what a new server would be told\n" +
			"   brink why pid:1234           a process: its descriptors, threads, queues and connections\n" +
			"   brink why 192.0.2.7:443      a destination, IPv6 as [2001:db8::7]:443: route, ports, conntrack\n\n" +
			"A number above 65535 is a pid. Another one is a port if any socket has it; else the process\n" +
			"with that number, if there is one; else a port that nobody has. port:N and pid:N leave no\n" +
			"doubt. :8080 and 0.0.0.0:8080 are the port, too. Without root the snapshot still works, and\n" +
			"what it lacks is said.",
		Flags: []cli.Flag{
			jsonFlag(), rungFlag(),
			&cli.DurationFlag{Name: "duration", Value: whyWatches, Usage: "watch refusals for `TIME`; 0 is a snapshot alone"},
			&cli.StringFlag{Name: "history-socket", Value: agentSocket, EnvVars: []string{"BRINK_HISTORY_SOCKET"},
				Usage: "where an agent is asked for what it saw refused, unless --duration is given"},
			&cli.StringFlag{Name: "netns", Usage: "look into this network namespace: `NETNS` is an inode number, pid:N, or a path"},
		},
		Action: why,
	}
}

func why(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("why takes one argument: %s", whyForms)
	}
	if c.Duration("duration") < 0 {
		return usagef("--duration %s: give a time, such as 3s; 0 is a snapshot alone", c.Duration("duration"))
	}
	rung, err := loader.ParseRung(c.String("rung"))
	if err != nil {
		return usageError{err}
	}
	q, err := parseWhy(c.Args().First())
	if err != nil {
		return err
	}
	if q.pid != 0 && c.IsSet("netns") {
		return usagef("--netns %s: a process is looked at in its own network namespace", c.String("netns"))
	}
	n, err := whyNamespace(c)
	if err != nil {
		return err
	}
	watch := whyWatch{rung: rung, span: c.Duration("duration")}
	if !c.IsSet("duration") && !c.IsSet("rung") {
		watch.agent = c.String("history-socket")
	}
	d, err := whyDiagnose(c.Context, q, n, watch)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return whyJSON(os.Stdout, d)
	}
	return whyText(os.Stdout, d)
}

func whyDiagnose(ctx context.Context, q whySubject, n diagnosis.Namespace, w whyWatch) (d *diagnosis.Diagnosis, err error) {
	q, understood := whyUnderstand(q, n)
	switch {
	case q.pid != 0:
		d, err = whyProcess(ctx, q.pid, w)
	case q.port != 0:
		d, err = whyPortHeld(ctx, q.port, n, w)
	default:
		d, err = whyWay(ctx, q, n, w)
	}
	if err == nil && understood != "" {
		d.Understood(understood)
	}
	return d, err
}

// The snapshot comes after the watching, so that it is the newer of the two.

func whyPortHeld(ctx context.Context, port uint16, n diagnosis.Namespace, w whyWatch) (*diagnosis.Diagnosis, error) {
	w.filter = loader.Filter{Port: port, Netns: []uint32{n.Netns}}
	w.hooks = []string{"state", "connect", "bind", "udp_port", "accept_queue", "syn_queue"}
	watched := w.watch(ctx, &diagnosis.Refusals{Netns: n.Netns})
	p, err := diagnosis.ReadPort(n, port)
	if err != nil {
		return nil, whyUnreadable(err)
	}
	p.Watched = watched
	return p.Diagnose(), nil
}

// whyProcess does not filter by pid in the kernel: what a listener refuses is
// refused in no process's context, and would not pass.
func whyProcess(ctx context.Context, pid uint32, w whyWatch) (*diagnosis.Diagnosis, error) {
	status, err := diagnosis.ReadStatus(pid)
	if err != nil {
		return nil, err // before anything is waited for
	}
	watched := diagnosis.Watched{WhyNot: "What is refused to the process cannot be watched: its network namespace cannot be seen (only root may: try sudo)."}
	if n, err := diagnosis.NamespaceOf(status.PID); err == nil {
		w.filter = loader.Filter{Netns: []uint32{n.Netns}}
		w.hooks = []string{"state", "connect", "bind", "port_choice", "descriptors", "file_table", "accept_queue", "threads"}
		watched = w.watch(ctx, &diagnosis.Refusals{Netns: n.Netns, PID: status.PID})
	}
	p, err := diagnosis.ReadProcess(pid)
	if err != nil {
		return nil, err
	}
	p.Watched = watched
	return p.Diagnose(), nil
}

func whyWay(ctx context.Context, q whySubject, n diagnosis.Namespace, w whyWatch) (*diagnosis.Diagnosis, error) {
	bits := q.to.Addr().BitLen()
	prefix, err := q.to.Addr().WithZone("").Prefix(bits)
	if err != nil {
		return nil, err
	}
	w.filter.Port, w.filter.Netns = q.to.Port(), []uint32{n.Netns}
	w.filter.CIDRs = append(w.filter.CIDRs, prefix)
	w.hooks = []string{"state", "connect", "port_choice", "conntrack_table", "nat_ports"}
	watched := w.watch(ctx, &diagnosis.Refusals{Netns: n.Netns})
	way, err := whyRoute(n, q.to)
	if err != nil {
		return nil, whyUnreadable(err)
	}
	d, err := diagnosis.ReadDestination(n, netAddrWithoutZone(q.to), way)
	if err != nil {
		return nil, whyUnreadable(err)
	}
	d.Watched = watched
	return d.Diagnose(), nil
}

// whyUnreadable says what to do where a right is missing.
func whyUnreadable(err error) error {
	if errors.Is(err, os.ErrPermission) && os.Geteuid() != 0 {
		return &whyNeedsRoot{err}
	}
	return err
}

type whyNeedsRoot struct{ error }

func (e *whyNeedsRoot) Error() string { return e.error.Error() + ": root may (try sudo)" }

func (e *whyNeedsRoot) Unwrap() error { return e.error }
