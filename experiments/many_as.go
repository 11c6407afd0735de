package experiments

import (
	"context"
	"net/netip"
	"time"

	"brink/experiments/lab"
)

// serveAll has every one of these destinations served, n connections each, by as
// few workers as their descriptors allow. What one worker cannot hold several
// divide by SO_REUSEPORT: they then serve nothing else.
func (b *Bench) serveAll(ctx context.Context, n int, at ...netip.AddrPort) error {
	var server *lab.Worker
	var room int
	for _, to := range at {
		for left := n; left > 0; left -= room {
			if left < n || room < n { // divided, or full
				var err error
				if server, room, err = b.roomyWorker(ctx); err != nil {
					return err
				}
			}
			if err := b.serve(ctx, server, to); err != nil {
				return err
			}
		}
		room -= n
	}
	return nil
}

func (b *Bench) serve(ctx context.Context, server *lab.Worker, at netip.AddrPort) error {
	s, err := server.Listen(ctx, lab.ListenOptions{
		Addr: at, Accept: true, SocketOptions: lab.SocketOptions{ReusePort: true},
	})
	b.servers = append(b.servers, serving{server, s})
	return err
}

// roomyWorker starts a worker and says how many connections it is to hold.
func (b *Bench) roomyWorker(ctx context.Context) (*lab.Worker, int, error) {
	w, err := b.worker(ctx, lab.WorkerOptions{})
	if err != nil {
		return nil, 0, err
	}
	d, err := w.FreeDescriptors(ctx)
	return w, int(float64(d.Free()) * (1 - spare)), err
}

// pushAs connects as the options say, from as many clients as it takes, until the
// kernel refuses or count connections stand (0: no bound). A later push of the
// same leg counts its own connections only.
func (b *Bench) pushAs(ctx context.Context, o lab.ConnectOptions, count int) (m Measurement, err error) {
	before, err := b.accepted(ctx)
	if err != nil {
		return m, err
	}
	o.Timeout = time.Minute
	for m.Refusals == 0 && (count == 0 || m.Value < count) {
		o.Count, err = b.clientFor(ctx, len(o.To))
		if err != nil {
			return m, err
		}
		if count > 0 {
			o.Count = min(o.Count, count-m.Value)
		}
		r, err := b.Client.Connect(ctx, o)
		if err != nil {
			return m, err
		}
		m.Value += r.Opened
		m.Endpoints += r.Opened
		m.Errno, m.Refusals = r.Errno, r.Attempts-r.Opened
	}
	accepted, err := b.awaitAccepted(ctx, before+m.Value)
	m.Endpoints += accepted - before
	return m, err
}

// clientFor says how many connections the client can make to so many
// destinations, the same number to each; one that is full is followed by another.
func (b *Bench) clientFor(ctx context.Context, destinations int) (n int, err error) {
	for {
		if b.Client != nil {
			d, err := b.Client.FreeDescriptors(ctx)
			if err != nil {
				return 0, err
			}
			n = max(0, int(d.Free())-16) / destinations * destinations
		}
		if n > 0 {
			return n, nil
		}
		if b.Client, err = b.worker(ctx, lab.WorkerOptions{}); err != nil {
			return 0, err
		}
	}
}

// noPort leaves the port of a bound address to connect().
var noPort = lab.SocketOptions{BindAddressNoPort: true}
