package experiments

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/memory"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "time-wait-reuse", Group: Ports, Takes: 5 * time.Second,
		Question: "when does connect() take a port over that is in TIME_WAIT (tcp_tw_reuse)?",
		Expect: "0: never; 1: after the delay, with TCP timestamps; 2: likewise, on loopback alone; " +
			"the range serves twice then, else EADDRNOTAVAIL",
		Limit: limits.EphemeralPorts,
		// a reuse has no tracepoint: the counter TWRecycled tells of it on every rung
		Hooks: []string{"state", "connect", "accept", "port_choice", "time_wait_enter"},
		Legs: func(s Size) []Leg {
			var legs []Leg
			for _, c := range reuseCases(s) {
				legs = append(legs, c.leg())
			}
			return legs
		},
	})
}

// A reuseCase is a leg: ports are closed actively until none is left, and asked
// for again.
type reuseCase struct {
	name     string
	family   Family
	reuse    string   // tcp_tw_reuse
	settings []string // more of them, tcp_tw_reuse_delay aside
	delay    string   // tcp_tw_reuse_delay in ms; empty leaves it as it is
	early    bool     // ask before the delay is over
	server   where
}

// where the server is.
type where int

const (
	onLoopback where = iota // at 127.0.0.1 or ::1
	onLo                    // at fd00::1 of the interface lo
	apart                   // on another host
)

// short is the delay of all legs but one.
const short = "100"

func reuseCases(s Size) []reuseCase {
	cases := []reuseCase{
		{name: "IPv4, 1", family: IPv4, reuse: "1"},
		{name: "IPv6, 1", family: IPv6, reuse: "1", delay: short},
		{name: "IPv4, 0", family: IPv4, reuse: "0", delay: short},
		{name: "IPv6, 0", family: IPv6, reuse: "0", delay: short},
		{name: "1, before the delay", family: IPv4, reuse: "1", delay: "60000", early: true},
		{name: "1, without timestamps", family: IPv4, reuse: "1", delay: short, settings: []string{"net.ipv4.tcp_timestamps", "0"}},
		{name: "IPv4, 2", family: IPv4, reuse: "2", delay: short},
		{name: "IPv6, 2", family: IPv6, reuse: "2", delay: short},
		{name: "2, on lo under another address", family: IPv6, reuse: "2", delay: short, server: onLo},
		{name: "IPv4, 2, to another host", family: IPv4, reuse: "2", delay: short, server: apart},
		{name: "IPv6, 2, to another host", family: IPv6, reuse: "2", delay: short, server: apart},
		{name: "1, to another host", family: IPv4, reuse: "1", delay: short, server: apart},
	}
	if s.Full {
		cases = append(cases, reuseCase{name: "as this host has it", family: IPv4, reuse: hostReuse(), server: apart})
	}
	return cases
}

func (c reuseCase) leg() Leg {
	return Leg{
		Name:    c.name,
		Prepare: c.prepare,
		Predict: c.predict,
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			m, err := b.openAndClose(ctx, c.to(), lab.CloseNormally)
			if err != nil {
				return m, err
			}
			if err := b.awaitListenersOnly(ctx); err != nil {
				return m, err
			}
			if err := c.wait(ctx, b); err != nil {
				return m, err
			}
			again, err := b.openAgain(ctx, c.to())
			return m.plus(again), err
		},
		Inspect: reusesCounted,
	}
}

// predict: the ports serve once, and once more where a timewait socket may be
// taken over.
func (c reuseCase) predict(ctx context.Context, b *Bench) (Prediction, error) {
	p, err := b.predictPorts(ctx, 1, syscall.EADDRNOTAVAIL)
	if err != nil {
		return p, err
	}
	reuse, err := b.number(ctx, "net.ipv4.tcp_tw_reuse")
	if err != nil {
		return p, err
	}
	timestamps, err := b.number(ctx, "net.ipv4.tcp_timestamps")
	if err != nil {
		return p, err
	}
	delay, _, err := b.reuseDelay(ctx)
	rounds, loopback := 1, c.to().Addr().IsLoopback()
	if reusable(reuse, timestamps != 0, loopback, !c.early) {
		rounds = 2
	}
	p.Value *= rounds
	p.Formula = "rounds × (high - low + 1 - reserved)"
	p.Inputs = append(p.Inputs, Input{"rounds", rounds}, Input{"tcp_tw_reuse", reuse}, Input{"tcp_timestamps", timestamps},
		Input{"loopback", loopback}, Input{"tcp_tw_reuse_delay_ms", int(delay.Milliseconds())}, Input{"delay_over", !c.early})
	return p, err
}

// reusable is tcp_twsk_unique, for a timewait socket of true TIME_WAIT and a
// connect() that chooses its port. Without timestamps a late segment of the old
// connection could be taken for one of the new (RFC 6191). Loopback is told by
// the addresses, unless a socket is bound to the interface.
func reusable(reuse int, timestamps, loopback, delayOver bool) bool {
	return (reuse == 1 || reuse == 2 && loopback) && timestamps && delayOver
}

// openAgain asks for every port again, and for one more.
func (b *Bench) openAgain(ctx context.Context, to netip.AddrPort) (Measurement, error) {
	before, err := b.Lab.Counters(ctx)
	if err != nil {
		return Measurement{}, err
	}
	m, err := b.pushAs(ctx, lab.ConnectOptions{To: []netip.AddrPort{to}}, 0)
	if err != nil {
		return m, err
	}
	after, err := b.Lab.Counters(ctx)
	b.note("reused", m.Value)
	b.note("TWRecycled", int(after["TcpExt.TWRecycled"]-before["TcpExt.TWRecycled"]))
	return m, err
}

// reusesCounted holds the kernel's counter, and its hooks where it has them,
// against the ports that served again.
func reusesCounted(b *Bench, _ Measurement, e memory.Evidence) string {
	reused, recycled := b.Notes["reused"], b.Notes["TWRecycled"]
	if recycled != reused {
		return fmt.Sprintf("%d ports served again, TWRecycled grew by %d", reused, recycled)
	}
	if told := e.TimeWaits[collector.TimeWaitReuseConnect]; told > 0 && told != reused {
		return fmt.Sprintf("%d ports served again, the kernel told of %d timewait sockets that a connect() took over", reused, told)
	}
	return ""
}
