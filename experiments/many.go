package experiments

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"brink/experiments/lab"
)

// spare descriptors of each worker stay free: for its own needs, and because
// SO_REUSEPORT does not divide connections exactly.
const spare = 0.3

// serveMany starts as many servers as n connections to one address take, all
// listening there with SO_REUSEPORT: where RLIMIT_NOFILE's hard limit cannot be
// raised, one process cannot hold them all.
func (b *Bench) serveMany(ctx context.Context, at netip.AddrPort, n int) error {
	ports, err := b.predictPorts(ctx, 1, 0)
	if err != nil {
		return err
	}
	for n = min(n, ports.Value); n > 0; {
		server, err := b.worker(ctx, lab.WorkerOptions{})
		if err != nil {
			return err
		}
		d, err := server.FreeDescriptors(ctx)
		if err != nil {
			return err
		}
		s, err := server.Listen(ctx, lab.ListenOptions{
			Addr: at, Accept: true, SocketOptions: lab.SocketOptions{ReusePort: true},
		})
		if err != nil {
			return err
		}
		b.servers = append(b.servers, serving{server, s})
		n -= int(float64(d.Free()) * (1 - spare))
	}
	return nil
}

// serving is one server of serveMany.
type serving struct {
	worker   *lab.Worker
	listener lab.Socket
}

// pushMany connects to the destinations in turn, from as many clients as it
// takes, until the kernel refuses or count connections stand (0: no bound).
func (b *Bench) pushMany(ctx context.Context, to []netip.AddrPort, count int) (Measurement, error) {
	var m Measurement
	for m.Refusals == 0 && (count == 0 || m.Value < count) {
		client, err := b.worker(ctx, lab.WorkerOptions{})
		if err != nil {
			return m, err
		}
		d, err := client.FreeDescriptors(ctx)
		if err != nil {
			return m, err
		}
		n := int(d.Free()) - 16
		if count > 0 {
			n = min(n, count-m.Value)
		}
		r, err := client.Connect(ctx, lab.ConnectOptions{To: to, Count: n, Timeout: time.Minute})
		if err != nil {
			return m, err
		}
		m.Value += r.Opened
		m.Endpoints += r.Opened
		m.Errno, m.Refusals = r.Errno, r.Attempts-r.Opened
	}
	accepted, err := b.awaitAccepted(ctx, m.Value)
	m.Endpoints += accepted
	return m, err
}

// awaitAccepted waits until the servers hold all that the clients opened: a
// connection is established before it is accepted.
func (b *Bench) awaitAccepted(ctx context.Context, want int) (open int, err error) {
	err = b.await(ctx, func() (bool, error) {
		open, err = b.accepted(ctx)
		return open >= want, err
	})
	return open, err
}

// plus adds up two pushes of one leg.
func (m Measurement) plus(n Measurement) Measurement {
	sum := Measurement{
		Value: m.Value + n.Value, Errno: m.Errno, Endpoints: m.Endpoints + n.Endpoints,
		Refusals: m.Refusals + n.Refusals, TimeWaits: m.TimeWaits + n.TimeWaits, Problem: m.Problem,
		Findings: slices.Concat(m.Findings, n.Findings),
	}
	if sum.Errno == 0 {
		sum.Errno = n.Errno
	}
	if sum.Problem == "" {
		sum.Problem = n.Problem
	}
	return sum
}
