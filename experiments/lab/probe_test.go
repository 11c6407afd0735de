package lab

import (
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// With TCP_DEFER_ACCEPT the client's first byte, not its ACK, finds the queue
// full; what the client then hears depends on tcp_abort_on_overflow.
func TestProbe(t *testing.T) {
	bothFamilies(t, func(t *testing.T, l *Lab, loopback netip.Addr) {
		for abort, told := range map[string]syscall.Errno{"0": syscall.EINPROGRESS, "1": syscall.ECONNRESET} {
			ctx, w := deadline(t), newWorker(t, l, WorkerOptions{})
			noError(t, l.SetSysctl(ctx, "net.ipv4.tcp_abort_on_overflow", abort))
			s := must(w.Listen(ctx, ListenOptions{Addr: port(loopback, 0), Backlog: 4, DeferAccept: 30 * time.Second}))(t)
			got := map[syscall.Errno]int{}
			for range 2 { // no more handshakes than the backlog wait at a time
				c := must(w.Connect(ctx, ConnectOptions{To: []netip.AddrPort{s.Addr}, Count: 4}))(t)
				equal(t, "established at the client", c.Opened, 4)
				for errno, n := range must(w.Probe(ctx, c.Sockets, 100*time.Millisecond))(t) {
					got[errno] += n
				}
			}
			equal(t, "acknowledged", got[0], 5)
			equal(t, "errno "+told.Error(), got[told], 3)
			a := must(w.AcceptN(ctx, s.Handle, AcceptOptions{Count: 8, Timeout: time.Millisecond}))(t)
			equal(t, "accepted", a.Accepted, 5)
			noError(t, w.Close())
		}
	})
}

func TestProbeOfNothing(t *testing.T) {
	ctx, w := deadline(t), newWorker(t, newLab(t, Options{}), WorkerOptions{})
	equal(t, "outcomes", len(must(w.Probe(ctx, Sockets{First: 1, Count: 3}, 0))(t)), 0)
	bound := must(w.Bind(ctx, BindOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")}))(t)
	equal(t, "not connected", must(w.Probe(ctx, bound.Sockets(), 0))(t)[syscall.EPIPE], 1)
}

// A deferred connection is not there for accept() before its first byte.
func TestDeferAccept(t *testing.T) {
	bothFamilies(t, func(t *testing.T, l *Lab, loopback netip.Addr) {
		ctx, w := deadline(t), newWorker(t, l, WorkerOptions{})
		s := must(w.Listen(ctx, ListenOptions{Addr: port(loopback, 0), DeferAccept: 1500 * time.Millisecond}))(t)
		c := must(w.Connect(ctx, ConnectOptions{To: []netip.AddrPort{s.Addr}}))(t)
		accept := func() int {
			return must(w.AcceptN(ctx, s.Handle, AcceptOptions{Count: 1, Timeout: 50 * time.Millisecond}))(t).Accepted
		}
		equal(t, "accepted before the byte", accept(), 0)
		equal(t, "acknowledged", must(w.Probe(ctx, c.Sockets, 0))(t)[0], 1)
		equal(t, "accepted after it", accept(), 1)
	})
}
