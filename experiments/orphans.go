package experiments

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"brink/collector/limits"
	"brink/experiments/lab"
)

func init() {
	register(Experiment{
		Name: "orphans", Group: Resources, Takes: 4 * time.Second,
		Question: "how many sockets may live on after their program has closed them?",
		Expect:   "tcp_max_orphans, one more where the kernel counts them ten times a second only (5.16); further ones are reset",
		Limit:    limits.Orphans,
		Hooks:    []string{"state", "orphans"},
		Legs: func(s Size) []Leg {
			if s.HostWide {
				return []Leg{tooManyOrphans(IPv4), tooManyOrphans(IPv6), orphansWithData(IPv4)}
			}
			return []Leg{tooManyOrphans(IPv4)}
		},
	})
}

const (
	maxOrphans = hostSetting("net.ipv4.tcp_max_orphans")
	// orphansLeft is how many orphans a machine made for it is left room for, and
	// orphansMore how many are made beyond what is predicted.
	orphansLeft, orphansMore = 16, 3
)

// tooManyOrphans closes one connection after the other whose peer never closes.
// Such an orphan waits in FIN_WAIT2 and does nothing: one that still sends would
// ask tcp_check_oom by its own timers too (tcp_out_of_resources), and whichever
// came first would be reset.
func tooManyOrphans(f Family) Leg {
	at := f.at(1, firstPort)
	return Leg{
		Name:    f.String(),
		Prepare: prepareOrphans(f, at),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) { return b.predictOrphans(ctx, true) },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return b.pushOrphans(ctx, at, func(made lab.ConnectResult, room int) error {
				return b.abandonSlowly(ctx, made.Sockets, room)
			})
		},
	}
}

// orphansWithData is the control, and what orphans mostly are: closed with data
// that the peer has no room for. As many as there may be all stand.
func orphansWithData(f Family) Leg {
	at := f.at(1, firstPort)
	return Leg{
		Name: "with data to send, and no more than the maximum",
		Prepare: func(ctx context.Context, b *Bench) error {
			if err := b.set(ctx, "net.ipv4.tcp_rmem", "4096 4096 4096", "net.ipv4.tcp_wmem", "4096 16384 16384"); err != nil {
				return err
			}
			return prepareOrphans(f, at)(ctx, b)
		},
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) { return b.predictOrphans(ctx, false) },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return b.pushOrphans(ctx, at, func(made lab.ConnectResult, room int) error {
				all := lab.Sockets{First: made.Sockets.First, Count: room}
				if _, err := b.Client.Fill(ctx, all); err != nil {
					return err
				}
				_, err := b.Client.CloseSockets(ctx, all, lab.CloseNormally)
				return errors.Join(err, b.awaitOrphanCount(ctx))
			})
		},
	}
}

// prepareOrphans has FIN_WAIT2 last: up to 60 s a timewait socket would stand for
// the orphan, which does not count as one (TCP_TIMEWAIT_LEN in __tcp_close).
func prepareOrphans(f Family, at netip.AddrPort) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) error {
		if err := b.addAddresses(ctx, f, 1); err != nil {
			return err
		}
		if err := b.set(ctx, "net.ipv4.tcp_fin_timeout", "180"); err != nil {
			return err
		}
		return b.listenWithout(ctx, lab.ListenOptions{Addr: at, Accept: true})
	}
}

// predictOrphans: tcp_too_many_orphans is "more than the maximum" of a count with
// the new one in it; since 5.16 (19757cebf0c5), and in later stable releases of
// 5.10, of one from before it was made.
func (b *Bench) predictOrphans(ctx context.Context, over bool) (Prediction, error) {
	used, most := limits.Measure(limits.Orphans, "")
	if most == 0 {
		return Prediction{}, errors.New("read net.ipv4.tcp_max_orphans: there is none")
	}
	if b.Size.HostWide {
		most = used + orphansLeft
	}
	room := int(most - min(used, most))
	p := Prediction{
		Value: room, Unit: "orphans", Formula: "tcp_max_orphans - orphans", Apart: over,
		Inputs: []Input{{"tcp_max_orphans", most}, {"orphans", used}},
	}
	b.note("most", int(most))
	if !over {
		return p, nil
	}
	late, err := countsOrphansLate()
	p.Inputs = append(p.Inputs, Input{"counted late", late})
	if late {
		p.Value, p.Formula = p.Value+1, p.Formula+" + 1, counted late"
	}
	b.note("room", p.Value)
	return p, err
}

// countsOrphansLate looks for the function that came with the late count.
func countsOrphansLate() (bool, error) {
	symbols, err := os.Open("/proc/kallsyms")
	if err != nil {
		return false, err
	}
	defer symbols.Close()
	lines := bufio.NewScanner(symbols)
	for lines.Scan() {
		if strings.HasSuffix(lines.Text(), " tcp_orphan_count_sum") {
			return true, nil
		}
	}
	return false, lines.Err()
}

// pushOrphans lowers the maximum, opens connections, has some of them abandoned,
// and counts those that stand.
func (b *Bench) pushOrphans(ctx context.Context, at netip.AddrPort, abandon func(lab.ConnectResult, int) error) (m Measurement, err error) {
	back, err := maxOrphans.set(b, strconv.Itoa(b.Notes["most"]))
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, back()) }()
	room := max(b.Notes["room"], orphansLeft)
	made, err := b.Client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{at}, Count: room + orphansMore})
	if err != nil {
		return m, err
	}
	accepted, err := b.awaitAccepted(ctx, made.Opened)
	if err != nil {
		return m, err
	}
	m = Measurement{Endpoints: made.Opened + accepted}
	if made.Opened < room+orphansMore {
		m.Problem = fmt.Sprintf("%d of %d connections came about (%s)", made.Opened, room+orphansMore, errnoWord(made.Errno))
		return m, nil
	}
	before, err := b.Lab.Counters(ctx)
	if err != nil {
		return m, err
	}
	if err := abandon(made, room); err != nil {
		return m, err
	}
	after, err := b.Lab.Counters(ctx)
	m.Value = int(after["TCP.orphan"] - before["TCP.orphan"])
	m.Refusals = int(after["TcpExt.TCPAbortOnMemory"] - before["TcpExt.TCPAbortOnMemory"])
	return m, err
}

// abandonSlowly closes as many as there may be, then more, one after the other,
// each once the kernel has counted the one before.
func (b *Bench) abandonSlowly(ctx context.Context, all lab.Sockets, room int) error {
	first := lab.Sockets{First: all.First, Count: room - 1}
	for ; first.First < all.First+lab.Handle(all.Count); first = (lab.Sockets{First: first.First + lab.Handle(first.Count), Count: 1}) {
		if _, err := b.Client.CloseSockets(ctx, first, lab.CloseNormally); err != nil {
			return err
		}
		if err := b.awaitOrphanCount(ctx); err != nil {
			return err
		}
	}
	return nil
}

// awaitOrphanCount lets tcp_orphan_update come by, which has a timer of 100 ms
// that an idle CPU puts off (TIMER_DEFERRABLE): so none is idle.
func (b *Bench) awaitOrphanCount(ctx context.Context) error {
	_, err := keepBusy.Run(ctx, b.Client, 250*time.Millisecond)
	return err
}
