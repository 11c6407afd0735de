package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"brink/collector/limits"
	"brink/collector/memory"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "syn-queue", Group: Queues, Takes: 3 * time.Second,
		Question: "how many handshakes may wait for their last ACK?",
		Expect: "the backlog (one more where the kernel compares with >); then SYNs are dropped, " +
			"or with tcp_syncookies answered by a cookie that keeps nothing",
		Limit: limits.SYNQueue,
		Hooks: []string{"state", "syn_queue"},
		Legs: func(s Size) []Leg {
			backlog := 8
			if s.Full {
				backlog = 4096 // SOMAXCONN since 5.4, before somaxconn cuts it
			}
			return []Leg{
				dropSYNs(IPv4, backlog), dropSYNs(IPv6, backlog),
				answerByCookie(IPv4, backlog), answerByCookie(IPv6, backlog),
				synQueueCapped(IPv4), queueWithRoom(IPv4, backlog),
			}
		},
	})
}

// dropSYNs: without cookies, the SYNs beyond the queue get no answer.
//
// tcp_max_syn_backlog is out of the way here. Below four thirds of the backlog
// its last quarter refuses first; that too is told where functions can be
// hooked, but no counter tells it apart from other dropped SYNs (ListenDrops), so
// no leg rests on it.
func dropSYNs(f Family, backlog int) Leg {
	at := f.at(1, firstPort)
	return Leg{
		Name:    f.String(),
		Prepare: prepareSYNQueue(f, "0", backlog, nil),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			p, err := b.predictSYNQueue(ctx, backlog)
			p.Apart = true
			return p, err
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			p, err := b.predictSYNQueue(ctx, backlog)
			if err != nil {
				return Measurement{}, err
			}
			return b.halfOpen(ctx, at, p.Value, tooMany)
		},
		Inspect: synDropsCounted,
	}
}

// answerByCookie: with them every handshake succeeds; what the queue had no room
// for is remembered in the cookie alone. A cookie's last ACK makes a connection
// at once, TCP_DEFER_ACCEPT is forgotten (cookie_v4_check), so that those beyond
// the queue are found in the accept queue.
func answerByCookie(f Family, backlog int) Leg {
	at := f.at(1, firstPort)
	return Leg{
		Name:    f.String() + ", tcp_syncookies",
		Prepare: prepareSYNQueue(f, "1", backlog, nil),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) {
			p, err := b.predictSYNQueue(ctx, backlog)
			p.Value, p.Apart = p.Value+tooMany, true
			p.Formula += " + those answered by a cookie"
			p.Inputs = append(p.Inputs, Input{"those answered by a cookie", tooMany})
			return p, err
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			p, err := b.predictSYNQueue(ctx, backlog)
			if err != nil {
				return Measurement{}, err
			}
			return b.cookies(ctx, at, p.Value, tooMany)
		},
		Inspect: cookiesCounted,
	}
}

// synQueueCapped shows that somaxconn cuts this queue as well: it has no limit of
// its own since 4.3 (ef547f2ac16b), whatever tcp_max_syn_backlog's name says.
func synQueueCapped(f Family) Leg {
	leg := dropSYNs(f, 100)
	leg.Name = "backlog above somaxconn"
	leg.Prepare = prepareSYNQueue(f, "0", 100, []string{"net.core.somaxconn", "5"})
	return leg
}

// queueWithRoom is the control: the same handshakes stay half open, and wait in a
// queue that is long enough.
func queueWithRoom(f Family, backlog int) Leg {
	at := f.at(1, firstPort)
	n := backlog + 1 + tooMany
	return Leg{
		Name:    "a backlog with room",
		Prepare: prepareSYNQueue(f, "0", n, []string{"net.core.somaxconn", strconv.Itoa(n)}),
		Predict: func(context.Context, *Bench) (Prediction, error) {
			return Prediction{Value: n, Unit: "handshakes", Formula: "attempts", Inputs: []Input{{"attempts", n}}}, nil
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) { return b.halfOpen(ctx, at, n, 0) },
	}
}

// prepareSYNQueue listens with TCP_DEFER_ACCEPT: a handshake then stays a request
// although its last ACK has come, until the client sends data, and nobody does.
func prepareSYNQueue(f Family, cookies string, backlog int, settings []string) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) error {
		if err := b.addAddresses(ctx, f, 1); err != nil {
			return err
		}
		if err := b.set(ctx, append(settings, "net.ipv4.tcp_syncookies", cookies,
			"net.ipv4.tcp_max_syn_backlog", strconv.Itoa(4*(backlog+2)))...); err != nil {
			return err
		}
		return b.listenWithout(ctx, lab.ListenOptions{Addr: f.at(1, firstPort), Backlog: backlog, DeferAccept: deferral})
	}
}

// predictSYNQueue computes what the request queue holds: one rule for every SYN
// (inet_csk_reqsk_queue_is_full), and without cookies a second one, that the last
// quarter of tcp_max_syn_backlog is for peers known from before (tcp_conn_request).
func (b *Bench) predictSYNQueue(ctx context.Context, backlog int) (Prediction, error) {
	extra, err := b.synQueueExtra(ctx)
	if err != nil {
		return Prediction{}, err
	}
	in := map[string]int{}
	for _, name := range []string{"net.core.somaxconn", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_max_syn_backlog"} {
		if in[name], err = b.number(ctx, name); err != nil {
			return Prediction{}, err
		}
	}
	somaxconn, most := in["net.core.somaxconn"], in["net.ipv4.tcp_max_syn_backlog"]
	p := Prediction{
		Value: min(backlog, somaxconn) + extra, Unit: "handshakes", Formula: "min(backlog, somaxconn) + extra",
		Inputs: []Input{{"backlog", backlog}, {"somaxconn", somaxconn}, {"extra", extra}},
	}
	if in["net.ipv4.tcp_syncookies"] == 0 {
		p.Value = min(p.Value, withoutLastQuarter(most))
		p.Formula = "min(backlog + extra, somaxconn + extra, max_syn_backlog - max_syn_backlog/4 + 1)"
		p.Inputs = append(p.Inputs, Input{"max_syn_backlog", most})
	}
	return p, nil
}

// withoutLastQuarter: a SYN is refused when max_syn_backlog - requests is less
// than max_syn_backlog >> 2.
func withoutLastQuarter(maxSYNBacklog int) int { return maxSYNBacklog - maxSYNBacklog>>2 + 1 }

// halfOpen begins as many handshakes as have room, one by one, then more.
func (b *Bench) halfOpen(ctx context.Context, at netip.AddrPort, room, more int) (m Measurement, err error) {
	err = b.countQueue(ctx, func() error {
		if m, err = b.handshakes(ctx, at, room); err != nil {
			return err
		}
		beyond, err := b.connectBeyond(ctx, b.Lab, []netip.AddrPort{at}, more)
		m = m.plus(beyond)
		return err
	})
	m.Endpoints = m.Value // the clients', which were answered
	return m, err
}

// handshakes are n of the client, one by one, and what became of them.
func (b *Bench) handshakes(ctx context.Context, at netip.AddrPort, n int) (Measurement, error) {
	r, err := b.Client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{at}, Count: n})
	return Measurement{Value: r.Opened, Errno: told(r.Errnos), Refusals: r.Attempts - r.Opened}, err
}

// cookies does likewise. Of those that succeed beyond the queue, the kernel has
// refused to keep a request: that is the limit's work, though the client stands.
func (b *Bench) cookies(ctx context.Context, at netip.AddrPort, room, more int) (m Measurement, err error) {
	var beyond Measurement
	err = b.countQueue(ctx, func() error {
		if m, err = b.handshakes(ctx, at, room); err != nil {
			return err
		}
		repeated, err := repeatedSYNs(ctx, b.Lab, func() (err error) {
			beyond, err = b.handshakes(ctx, at, more)
			return err
		})
		m = m.plus(beyond)
		m.Refusals += beyond.Value + repeated
		return err
	})
	if err != nil {
		return m, err
	}
	b.note("beyond", beyond.Value)
	connections, err := b.emptyQueue(ctx, beyond.Value)
	m.Endpoints = m.Value + connections
	if connections != beyond.Value {
		m.Problem = fmt.Sprintf("%d handshakes were answered beyond the queue, of them %d are connections", beyond.Value, connections)
	}
	return m, err
}

// countQueue notes by how much the namespace's own counters grew.
func (b *Bench) countQueue(ctx context.Context, push func() error) error {
	before, err := b.Lab.Counters(ctx)
	if err != nil {
		return err
	}
	if err := push(); err != nil {
		return err
	}
	after, err := b.Lab.Counters(ctx)
	for _, name := range []string{"TCPReqQFullDrop", "SyncookiesSent", "SyncookiesRecv"} {
		b.note(name, int(after["TcpExt."+name]-before["TcpExt."+name]))
	}
	return err
}

// synDropsCounted holds the namespace's own counter against the refusals.
func synDropsCounted(b *Bench, m Measurement, _ memory.Evidence) string {
	if n := b.Notes["TCPReqQFullDrop"]; n != m.Refusals {
		return fmt.Sprintf("measured %d refusals, TCPReqQFullDrop grew by %d", m.Refusals, n)
	}
	return ""
}

// cookiesCounted wants a cookie sent for each refusal, and one back from each
// handshake that succeeded beyond the queue.
func cookiesCounted(b *Bench, m Measurement, _ memory.Evidence) string {
	sent, back := b.Notes["SyncookiesSent"], b.Notes["SyncookiesRecv"]
	if sent != m.Refusals || back != b.Notes["beyond"] {
		return fmt.Sprintf("measured %d refusals and %d handshakes beyond the queue, SyncookiesSent grew by %d and SyncookiesRecv by %d",
			m.Refusals, b.Notes["beyond"], sent, back)
	}
	return ""
}
