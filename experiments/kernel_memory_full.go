package experiments

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"strconv"

	"brink/experiments/lab"
)

const (
	tcpMem = hostSetting("net.ipv4.tcp_mem")
	// bufferBytes is the size of each of the two buffers: large beside the 64 KiB
	// segment by which the kernel lets one be passed.
	bufferBytes = 1 << 20
	// fullConnections is how many are filled, where tcp_mem has room for them.
	fullConnections = 32
)

// fullBuffers has clients write until no more fits, to a server that does not
// read. That is far below the pressure of tcp_mem, which would shrink buffers.
func fullBuffers(f Family) Leg {
	at := f.at(1, firstPort)
	return Leg{
		Name:    "full buffers",
		Prepare: prepareFull(f, at),
		Predict: func(ctx context.Context, b *Bench) (Prediction, error) { return b.predictFull(ctx) },
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			n, err := b.fullConnections(ctx)
			if err != nil {
				return Measurement{}, err
			}
			return b.pushFull(ctx, at, n)
		},
	}
}

func prepareFull(f Family, at netip.AddrPort) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) error {
		if err := b.addAddresses(ctx, f, 1); err != nil {
			return err
		}
		if err := b.fixBuffers(ctx); err != nil {
			return err
		}
		return b.listenWithout(ctx, lab.ListenOptions{Addr: at, Accept: true})
	}
}

// fixBuffers gives every socket buffers of one size from the start, since they
// grow with the traffic otherwise. All of a receive buffer becomes window: half
// of it did by tcp_adv_win_scale's default, until 6.6 (dfa2f0483360) went by what
// the segments really take.
func (b *Bench) fixBuffers(ctx context.Context) error {
	size := strconv.Itoa(bufferBytes)
	if err := b.set(ctx, "net.ipv4.tcp_rmem", "4096 "+size+" "+size, "net.ipv4.tcp_wmem", "4096 "+size+" "+size); err != nil {
		return err
	}
	err := b.set(ctx, "net.ipv4.tcp_adv_win_scale", "8")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (b *Bench) predictFull(ctx context.Context) (Prediction, error) {
	p := Prediction{Unit: "bytes a connection", Formula: "tcp_wmem[2] + tcp_rmem[2]", Within: memoryWithin}
	for _, name := range []string{"tcp_wmem", "tcp_rmem"} {
		value, err := b.Lab.Sysctl(ctx, "net.ipv4."+name)
		if err != nil {
			return p, err
		}
		var least, usual, most int
		if _, err := fmt.Sscan(value, &least, &usual, &most); err != nil {
			return p, fmt.Errorf("%s is %q: %w", name, value, err)
		}
		p.Value += most
		p.Inputs = append(p.Inputs, Input{name + "[2]", most})
	}
	return p, nil
}

// fullConnections takes half of what is left to the first of tcp_mem, below
// which the kernel is at ease.
func (b *Bench) fullConnections(ctx context.Context) (int, error) {
	thresholds, err := tcpMem.numbers()
	if err != nil {
		return 0, err
	}
	used, err := b.tcpPages(ctx)
	if err != nil {
		return 0, err
	}
	n := min(fullConnections, (thresholds[0]-used)/2/(2*bufferBytes/os.Getpagesize()))
	if n < 4 {
		return 0, skipf("TCP has %d of %d pages in use: filling buffers would bring it under pressure (tcp_mem)", used, thresholds[0])
	}
	return n, nil
}

// pushFull measures the sockets' own accounts, and finds the host's beside them.
func (b *Bench) pushFull(ctx context.Context, at netip.AddrPort, n int) (m Measurement, err error) {
	before, err := b.tcpPages(ctx)
	if err != nil {
		return m, err
	}
	if m, err = b.openFull(ctx, at, n); err != nil || m.Problem != "" {
		return m, err
	}
	used, err := b.bufferMemory(ctx)
	if err != nil {
		return m, err
	}
	after, err := b.tcpPages(ctx)
	m.Value = used / n
	m.Findings = append(m.Findings, Finding{
		"grown in tcp_mem's account, host-wide", float64((after - before) * os.Getpagesize() / n), "bytes a connection",
	})
	if thresholds, err := tcpMem.numbers(); err == nil && m.Value > 0 {
		m.Findings = append(m.Findings, Finding{
			"such connections until pressure", math.Floor(float64(thresholds[1]*os.Getpagesize()) / float64(m.Value)), "connections",
		})
	}
	return m, err
}

// openFull opens n connections more and fills them.
func (b *Bench) openFull(ctx context.Context, at netip.AddrPort, n int) (m Measurement, err error) {
	before, err := b.accepted(ctx)
	if err != nil {
		return m, err
	}
	r, err := b.Client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{at}, Count: n})
	if err != nil {
		return m, err
	}
	accepted, err := b.awaitAccepted(ctx, before+r.Opened)
	if err != nil {
		return m, err
	}
	m = Measurement{Endpoints: r.Opened + accepted - before}
	if r.Opened < n || accepted-before < n {
		m.Problem = fmt.Sprintf("%d of %d connections came about, %d accepted (%s)", r.Opened, n, accepted-before, errnoWord(r.Errno))
		return m, nil
	}
	written, err := b.Client.Fill(ctx, r.Sockets)
	m.Findings = []Finding{{"written until no more fitted", float64(written / n), "bytes a connection"}}
	return m, err
}

// bufferMemory is that of all workers together.
func (b *Bench) bufferMemory(ctx context.Context) (bytes int, err error) {
	for _, w := range b.Workers {
		m, err := w.BufferMemory(ctx)
		if err != nil {
			return 0, err
		}
		bytes += m.Total()
	}
	return bytes, nil
}
