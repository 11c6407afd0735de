package lab

import (
	"net/netip"
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
