package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"brink/experiments/lab"
)

// lateReset: an overflow is silent when it is the SYN that finds the queue full,
// whatever tcp_abort_on_overflow says; the reset belongs to the last ACK of the
// handshake (tcp_check_req). On loopback that ACK follows its SYN at once and
// both find the same queue. TCP_DEFER_ACCEPT puts them apart: the client is
// established, its ACK is dropped, and the first byte that it sends makes the
// connection or finds the queue full.
func lateReset(f Family, backlog int) Leg {
	at := f.at(1, firstPort)
	return Leg{
		Name: f.String() + ", tcp_abort_on_overflow",
		Prepare: func(ctx context.Context, b *Bench) error {
			if err := b.addAddresses(ctx, f, 1); err != nil {
				return err
			}
			if err := b.set(ctx, "net.ipv4.tcp_abort_on_overflow", "1"); err != nil {
				return err
			}
			return b.listenWithout(ctx, lab.ListenOptions{Addr: at, Backlog: backlog, DeferAccept: deferral})
		},
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			return b.predictQueue(ctx, backlog, syscall.ECONNRESET)
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			p, err := b.predictQueue(ctx, backlog, syscall.ECONNRESET)
			if err != nil {
				return Measurement{}, err
			}
			return b.overflowLate(ctx, at, p.Value+tooMany)
		},
		Inspect: overflowsCounted,
	}
}

// deferral is longer than any push: the kernel counts it in repeated SYN-ACKs,
// and after the last one it takes the client's next ACK.
const deferral = 30 * time.Second

// overflowLate opens n connections and has each client send a byte. In two
// halves, since handshakes that wait are bounded by the backlog as well
// (inet_csk_reqsk_queue_is_full): beyond it SYN cookies begin, which know of no
// deferral.
func (b *Bench) overflowLate(ctx context.Context, at netip.AddrPort, n int) (m Measurement, err error) {
	err = b.countOverflows(ctx, func() error {
		for _, count := range []int{n / 2, n - n/2} {
			half, err := b.connectAndSend(ctx, at, count)
			if err != nil {
				return err
			}
			m = m.plus(half)
		}
		return nil
	})
	if err != nil {
		return m, err
	}
	waiting, err := b.emptyQueue(ctx, m.Value)
	m.Endpoints += waiting
	if waiting != m.Value && m.Problem == "" {
		m.Problem = fmt.Sprintf("%d bytes were acknowledged, %d connections waited in the queue", m.Value, waiting)
	}
	return m, err
}

// connectAndSend counts the clients' ends only.
func (b *Bench) connectAndSend(ctx context.Context, at netip.AddrPort, n int) (Measurement, error) {
	r, err := b.Client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{at}, Count: n})
	if err != nil {
		return Measurement{}, err
	}
	outcomes, err := b.Client.Probe(ctx, r.Sockets, 0)
	if err != nil {
		return Measurement{}, err
	}
	m := Measurement{Value: outcomes[0], Refusals: outcomes[syscall.ECONNRESET], Endpoints: r.Opened}
	if m.Refusals > 0 {
		m.Errno = syscall.ECONNRESET
	}
	if r.Opened != n {
		m.Problem = fmt.Sprintf("%d of %d connects were answered: %s", r.Opened, n, errnoWord(r.Errno))
	} else if other := n - m.Value - m.Refusals; other > 0 {
		m.Problem = fmt.Sprintf("%d clients of %d neither stood nor were reset", other, n)
	}
	return m, nil
}
