package experiments

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"brink/experiments/lab"
)

// routed is three hosts in a row. The router is the leg's first lab:
//
//	client .2 ── .1 inner  router  outer .1 ── .2 server
type routed struct{ Family }

func (r routed) host(network, n int) netip.Prefix {
	if r.Family == IPv6 {
		return netip.MustParsePrefix(fmt.Sprintf("fd0%d::%d/64", network, n))
	}
	return netip.MustParsePrefix(fmt.Sprintf("10.%d.0.%d/24", network, n))
}

func (r routed) client() netip.Prefix { return r.host(1, 2) }
func (r routed) inner() netip.Prefix  { return r.host(1, 1) }
func (r routed) outer() netip.Prefix  { return r.host(2, 1) }
func (r routed) server() netip.Prefix { return r.host(2, 2) }

// destinations are ports of the server.
func (r routed) destinations(n int) (to []netip.AddrPort) {
	for i := range n {
		to = append(to, netip.AddrPortFrom(r.server().Addr(), firstPort+uint16(i)))
	}
	return to
}

// prepare makes the hosts, their links and routes, and the server's listeners.
func (r routed) prepare(ctx context.Context, b *Bench, destinations int) error {
	client, err := b.another(ctx)
	if err != nil {
		return err
	}
	server, err := b.another(ctx)
	if err != nil {
		return err
	}
	if err := r.join(ctx, client, b.Lab, server); err != nil {
		return err
	}
	if b.Server, err = b.workerIn(ctx, server, lab.WorkerOptions{}); err != nil {
		return err
	}
	if b.Client, err = b.workerIn(ctx, client, lab.WorkerOptions{}); err != nil {
		return err
	}
	return b.listen(ctx, r.destinations(destinations)...)
}

func (r routed) join(ctx context.Context, client, router, server *lab.Lab) error {
	forward := "net.ipv4.ip_forward"
	if r.Family == IPv6 {
		forward = "net.ipv6.conf.all.forwarding"
	}
	return errors.Join(
		client.Link(ctx, router, r.client(), r.inner()),
		server.Link(ctx, router, r.server(), r.outer()),
		router.SetSysctl(ctx, forward, "1"),
		client.AddRoute(ctx, r.server(), r.inner().Addr()),
		server.AddRoute(ctx, r.client(), r.outer().Addr()),
	)
}

// needsTracking makes a kernel without connection tracking, or without nftables,
// a reason to skip.
func needsTracking(err error) error {
	for _, absent := range []syscall.Errno{syscall.ENOENT, syscall.EOPNOTSUPP, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT} {
		if errors.Is(err, absent) {
			return skipf("this kernel has no connection tracking or no nftables, or their modules are not loaded: %v", err)
		}
	}
	return err
}
