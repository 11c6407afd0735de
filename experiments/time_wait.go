package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"brink/collector/limits"
	"brink/collector/memory"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "time-wait", Group: Ports, Takes: 3 * time.Second,
		Question: "how many connections can be made and closed at once, actively, to one destination?",
		Expect:   "the range's size, then EADDRNOTAVAIL with no connection open; 60 s later the ports are back",
		Limit:    limits.EphemeralPorts,
		Hooks:    []string{"state", "connect", "accept", "port_choice", "time_wait_enter"},
		Legs: func(s Size) []Leg {
			legs := []Leg{closeActively(IPv4), closeActively(IPv6), closeByReset(IPv4)}
			if s.Full {
				legs = append(legs, portsComeBack(IPv4))
			}
			return legs
		},
	})
}

// timeWaitLength is TCP_TIMEWAIT_LEN (include/net/tcp.h): no setting changes it.
const timeWaitLength = 60 * time.Second

func closeActively(f Family) Leg {
	to := f.at(1, firstPort)
	return Leg{
		Name:    f.String(),
		Prepare: prepareTimeWait(f, to),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			return b.predictPorts(ctx, 1, syscall.EADDRNOTAVAIL)
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			m, err := b.openAndClose(ctx, to, lab.CloseNormally)
			if err != nil {
				return m, err
			}
			one, err := b.Client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{to}})
			m.Value += one.Opened // none, if the prediction is right
			m.Errno, m.Refusals = one.Errno, one.Attempts-one.Opened
			return m, err
		},
		Inspect: timeWaitsCounted,
	}
}

// closeByReset is the control: a reset leaves no timewait socket, and the same
// ports serve twice.
func closeByReset(f Family) Leg {
	to := f.at(1, firstPort)
	return Leg{
		Name:    "closed by a reset",
		Prepare: prepareTimeWait(f, to),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			p, err := b.predictPorts(ctx, 1, 0)
			p.Value, p.Formula = 2*p.Value, "2 × (high - low + 1 - reserved)"
			return p, err
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			one, err := b.openAndClose(ctx, to, lab.CloseReset)
			if err != nil {
				return one, err
			}
			two, err := b.openAndClose(ctx, to, lab.CloseReset)
			return one.plus(two), err
		},
	}
}

// portsComeBack waits until every timewait socket has ended by its timer.
func portsComeBack(f Family) Leg {
	leg := closeByReset(f)
	to := f.at(1, firstPort)
	leg.Name = "60 s later"
	leg.Push = func(ctx context.Context, b *Bench) (Measurement, error) {
		one, err := b.openAndClose(ctx, to, lab.CloseNormally)
		if err != nil {
			return one, err
		}
		select {
		case <-ctx.Done():
			return one, ctx.Err()
		case <-time.After(timeWaitLength + 2*time.Second): // timers have slack
		}
		two, err := b.openAndClose(ctx, to, lab.CloseReset)
		return one.plus(two), err
	}
	return leg
}

// prepareTimeWait: a small range, no reuse, and a server that closes second, so
// that TIME_WAIT is the client's. tcp_rfc1337 keeps a reset from ending it
// early: a FIN that the server's tail loss probe repeats is acknowledged by the
// timewait socket, to a server that is gone by then and answers with a RST (seen
// on slow 5.10 and 7.2 guests).
func prepareTimeWait(f Family, to netip.AddrPort) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) error {
		if err := b.addAddresses(ctx, f, 1); err != nil {
			return err
		}
		if err := b.set(ctx, "net.ipv4.ip_local_port_range", "40000 40049",
			"net.ipv4.tcp_tw_reuse", "0", "net.ipv4.tcp_rfc1337", "1"); err != nil {
			return err
		}
		if err := b.pair(ctx); err != nil {
			return err
		}
		s, err := b.Server.Listen(ctx, lab.ListenOptions{Addr: to, Accept: true, CloseOnEOF: true})
		b.Listeners = []lab.Socket{s}
		return err
	}
}

// openAndClose opens as many connections as there are ports, closes them all at
// the client, and waits until the server has none either.
func (b *Bench) openAndClose(ctx context.Context, to netip.AddrPort, how lab.How) (Measurement, error) {
	m, err := b.openAndCloseBy(ctx, to, func(ctx context.Context, s lab.Sockets) (int, error) {
		return b.Client.CloseSockets(ctx, s, how)
	})
	if how != lab.CloseNormally {
		m.TimeWaits = 0
	}
	return m, err
}

// openAndCloseBy takes every close for an active one.
func (b *Bench) openAndCloseBy(
	ctx context.Context, to netip.AddrPort, closeThem func(context.Context, lab.Sockets) (int, error),
) (Measurement, error) {
	p, err := b.predictPorts(ctx, 1, 0)
	if err != nil {
		return Measurement{}, err
	}
	r, err := b.Client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{to}, Count: p.Value})
	if err != nil {
		return Measurement{}, err
	}
	accepted, err := b.awaitAccepted(ctx, r.Opened)
	if err != nil {
		return Measurement{}, err
	}
	m := Measurement{Value: r.Opened, Errno: r.Errno, Refusals: r.Attempts - r.Opened, Endpoints: r.Opened + accepted}
	if m.TimeWaits, err = closeThem(ctx, r.Sockets); err != nil {
		return m, err
	}
	open, err := b.awaitClosed(ctx)
	if err != nil {
		return m, err
	}
	if open > 0 {
		m.Problem = fmt.Sprintf("%d connections are still open at the server", open)
	}
	counters, err := b.Lab.Counters(ctx)
	b.note("tw", int(counters["TCP.tw"]))
	return m, err
}

func (b *Bench) awaitClosed(ctx context.Context) (open int, err error) {
	err = b.await(ctx, func() (bool, error) {
		open, err = b.accepted(ctx)
		return open == 0, err
	})
	return open, err
}

// timeWaitsCounted holds the namespace's own gauge (/proc/net/sockstat, tw)
// against the active closes.
func timeWaitsCounted(b *Bench, m Measurement, _ memory.Evidence) string {
	if n := b.Notes["tw"]; n != m.TimeWaits {
		return fmt.Sprintf("%d active closes, and /proc/net/sockstat has tw %d", m.TimeWaits, n)
	}
	return ""
}
