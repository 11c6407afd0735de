package experiments

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"time"

	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

// to is where the server listens.
func (c reuseCase) to() netip.AddrPort {
	_, there := c.ends()
	switch {
	case c.server == apart:
		return netip.AddrPortFrom(there.Addr(), firstPort)
	case c.server == onLoopback && c.family == IPv6:
		return netip.AddrPortFrom(netip.IPv6Loopback(), firstPort)
	}
	return c.family.at(1, firstPort)
}

// ends are the addresses of the two hosts.
func (c reuseCase) ends() (here, there netip.Prefix) {
	if c.family == IPv6 {
		return netip.MustParsePrefix("fd01::1/64"), netip.MustParsePrefix("fd01::2/64")
	}
	return netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("10.0.0.2/24")
}

func (c reuseCase) prepare(ctx context.Context, b *Bench) error {
	if err := b.addAddresses(ctx, c.family, 1); err != nil {
		return err
	}
	if err := c.set(ctx, b); err != nil {
		return err
	}
	serverIn := b.Lab
	if c.server == apart {
		var err error
		if serverIn, err = c.host(ctx, b); err != nil {
			return err
		}
	}
	return c.start(ctx, b, serverIn)
}

// set: see prepareTimeWait for tcp_rfc1337.
func (c reuseCase) set(ctx context.Context, b *Bench) error {
	if err := b.set(ctx, "net.ipv4.ip_local_port_range", "40000 40049", "net.ipv4.tcp_rfc1337", "1",
		"net.ipv4.tcp_timestamps", "1", "net.ipv4.tcp_tw_reuse", c.reuse); err != nil {
		return err
	}
	if err := b.set(ctx, c.settings...); err != nil {
		return err
	}
	_, adjustable, err := b.reuseDelay(ctx)
	switch {
	case err != nil:
		return err
	case c.delay == "":
		return nil
	case adjustable:
		return b.set(ctx, reuseDelaySysctl, c.delay)
	case c.early:
		return skipf("this kernel has no tcp_tw_reuse_delay (6.14): its delay ends with the clock's second, which may be at once")
	}
	return nil
}

// host makes the other host, and the way there.
func (c reuseCase) host(ctx context.Context, b *Bench) (*lab.Lab, error) {
	other, err := b.another(ctx)
	if err != nil {
		return nil, err
	}
	here, there := c.ends()
	return other, b.Lab.Link(ctx, other, here, there)
}

func (c reuseCase) start(ctx context.Context, b *Bench, serverIn *lab.Lab) (err error) {
	if b.Server, err = b.workerIn(ctx, serverIn, lab.WorkerOptions{}); err != nil {
		return err
	}
	if b.Client, err = b.worker(ctx, lab.WorkerOptions{}); err != nil {
		return err
	}
	return b.listenSecond(ctx, c.to())
}

const reuseDelaySysctl = "net.ipv4.tcp_tw_reuse_delay"

// reuseDelay is how long a timewait socket is left alone: a setting since 6.14,
// and before until the clock's next second.
func (b *Bench) reuseDelay(ctx context.Context) (delay time.Duration, adjustable bool, err error) {
	ms, err := b.number(ctx, reuseDelaySysctl)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Second, false, nil
	}
	return time.Duration(ms) * time.Millisecond, true, err
}

// wait lets the delay pass, and a tick of the clock more.
func (c reuseCase) wait(ctx context.Context, b *Bench) error {
	delay, adjustable, err := b.reuseDelay(ctx)
	if err != nil || c.early {
		return err
	}
	if !adjustable {
		delay = untilNextSecond()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(delay + 20*time.Millisecond):
		return nil
	}
}

// untilNextSecond of the clock that ktime_get_seconds reads.
func untilNextSecond() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return time.Second
	}
	return time.Second - time.Duration(now.Nsec)
}

// hostReuse is this host's own tcp_tw_reuse; the kernel's default where it cannot
// be read.
func hostReuse() string {
	value, err := os.ReadFile("/proc/sys/net/ipv4/tcp_tw_reuse")
	if err != nil {
		return "2"
	}
	return strings.TrimSpace(string(value))
}
