package lab

import (
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSNAT: a pool of three ports gives three connections to one destination,
// seen from the pool by the server; the fourth gets no answer.
func TestSNAT(t *testing.T) {
	for _, loopback := range []string{"127.0.0.1", "::1"} {
		t.Run(loopback, func(t *testing.T) {
			ctx, l := t.Context(), newLab(t, Options{})
			addr := netip.MustParseAddr(loopback)
			to := netip.AddrPortFrom(addr, 80)
			if err := l.SNAT(ctx, NAT{Protocol: unix.IPPROTO_TCP, Port: 80, To: addr, Low: 5000, High: 5002}); err != nil {
				t.Fatal(err)
			}
			server, client := newWorker(t, l, WorkerOptions{}), newWorker(t, l, WorkerOptions{})
			listener := must(server.Listen(ctx, ListenOptions{Addr: to, Accept: true}))(t)
			r := must(client.Connect(ctx, ConnectOptions{To: []netip.AddrPort{to}, Count: 5, Timeout: 300 * time.Millisecond}))(t)
			equal(t, "connections", r.Opened, 3)
			equal(t, "refusal", r.Errno, syscall.EINPROGRESS)
			for _, c := range must(server.Accepted(ctx, listener.Handle, true))(t).Connections {
				if p := c.Peer.Port(); p < 5000 || p > 5002 {
					t.Errorf("the server sees port %d", p)
				}
			}
		})
	}
}

// Without a port in the rule every destination is translated, each with a pool
// of its own; and the kernel says the rules as they were given.
func TestSNATToAnyPort(t *testing.T) {
	for _, loopback := range []string{"127.0.0.1", "::1"} {
		t.Run(loopback, func(t *testing.T) {
			ctx, l := t.Context(), newLab(t, Options{})
			addr := netip.MustParseAddr(loopback)
			any := NAT{Protocol: unix.IPPROTO_TCP, To: addr, Low: 5000, High: 5001}
			one := NAT{Protocol: unix.IPPROTO_UDP, Port: 53, To: addr, Low: 70, High: 70}
			noError(t, l.SNAT(ctx, any))
			noError(t, l.SNAT(ctx, one))
			if rules := must(l.NATRules(ctx))(t); !slices.Equal(rules, []NAT{any, one}) {
				t.Errorf("the kernel has %v", rules)
			}
			to := []netip.AddrPort{netip.AddrPortFrom(addr, 80), netip.AddrPortFrom(addr, 81)}
			server, client := newWorker(t, l, WorkerOptions{}), newWorker(t, l, WorkerOptions{})
			for _, at := range to {
				must(server.Listen(ctx, ListenOptions{Addr: at, Accept: true}))(t)
			}
			r := must(client.Connect(ctx, ConnectOptions{To: to, Count: 6, KeepGoing: true, Timeout: 100 * time.Millisecond}))(t)
			equal(t, "connections", r.Opened, 4)
			equal(t, "dropped SYNs", must(l.Counters(ctx))(t)["conntrack.drop"], 2)
		})
	}
}
