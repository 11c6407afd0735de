package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"brink/experiments/lab"
)

// beyond is how many closes more than the host's buckets hold.
const beyond = 50

// hostBuckets fills as many as the kernel gives a new namespace by itself (half
// of what its table of connections has, tcp_sk_init), in rounds: descriptors are
// fewer. It must be done before the first ones end.
func hostBuckets(f Family) Leg {
	leg := fillBuckets(f, "", 0)
	to := portsOf(f, 8)
	leg.Prepare = func(ctx context.Context, b *Bench) error {
		if err := b.addAddresses(ctx, f, 1); err != nil {
			return err
		}
		if err := b.set(ctx, "net.ipv4.ip_local_port_range", "10000 60999",
			"net.ipv4.tcp_tw_reuse", "0", "net.ipv4.tcp_rfc1337", "1"); err != nil {
			return err
		}
		if err := b.pair(ctx); err != nil {
			return err
		}
		return b.listenSecond(ctx, to...)
	}
	leg.Predict = func(ctx context.Context, b *Bench) (Prediction, error) {
		most, err := b.number(ctx, "net.ipv4.tcp_max_tw_buckets")
		if err != nil {
			return Prediction{}, err
		}
		p, err := b.predictBuckets(ctx, most+beyond)
		p.Within = float64(runtime.NumCPU()-1) / float64(most) // see closeOneByOne, for which these are too many
		return p, err
	}
	leg.Push = func(ctx context.Context, b *Bench) (Measurement, error) {
		most, err := b.number(ctx, "net.ipv4.tcp_max_tw_buckets")
		if err != nil {
			return Measurement{}, err
		}
		return b.countBuckets(ctx, func() (Measurement, error) {
			return b.closeInRounds(ctx, lab.ConnectOptions{To: to, Timeout: time.Minute}, most+beyond)
		})
	}
	return leg
}

// closeInRounds opens and actively closes connections, as many at a time as both
// ends have descriptors for.
func (b *Bench) closeInRounds(ctx context.Context, o lab.ConnectOptions, closes int) (m Measurement, err error) {
	d, err := b.Server.FreeDescriptors(ctx)
	if err != nil {
		return m, err
	}
	room, first := int(float64(d.Free())*(1-spare)), time.Now()
	for m.TimeWaits < closes && m.Errno == 0 && m.Problem == "" {
		o.Count = min(room, closes-m.TimeWaits)
		round, err := b.closeOneRound(ctx, o)
		if err != nil {
			return m, err
		}
		m = m.plus(round)
		if took := time.Since(first); took > timeWaitLength-10*time.Second {
			return m, fmt.Errorf("%d of %d connections were closed in %v: the first timewait sockets end soon", m.TimeWaits, closes, took)
		}
	}
	return m, nil
}

func (b *Bench) closeOneRound(ctx context.Context, o lab.ConnectOptions) (Measurement, error) {
	r, err := b.Client.Connect(ctx, o)
	if err != nil {
		return Measurement{}, err
	}
	accepted, err := b.awaitAccepted(ctx, r.Opened)
	if err != nil {
		return Measurement{}, err
	}
	m := Measurement{Value: r.Opened, Errno: r.Errno, Refusals: r.Attempts - r.Opened, Endpoints: r.Opened + accepted}
	if m.TimeWaits, err = b.Client.CloseSockets(ctx, r.Sockets, lab.CloseNormally); err != nil {
		return m, err
	}
	open, err := b.awaitClosed(ctx)
	if open > 0 {
		m.Problem = fmt.Sprintf("%d connections are still open at the server", open)
	}
	return m, err
}

// listenSecond has the server close after its clients, so that TIME_WAIT is theirs.
func (b *Bench) listenSecond(ctx context.Context, at ...netip.AddrPort) error {
	for _, addr := range at {
		s, err := b.Server.Listen(ctx, lab.ListenOptions{Addr: addr, Accept: true, CloseOnEOF: true})
		if err != nil {
			return err
		}
		b.Listeners = append(b.Listeners, s)
	}
	return nil
}
