package lab

import (
	"net/netip"
	"testing"
	"time"
)

// Every connection answers once a round; those in the queue, which nobody
// serves, and those that are closed never do.
func TestEchoAll(t *testing.T) {
	bothFamilies(t, func(t *testing.T, l *Lab, loopback netip.Addr) {
		ctx, w := deadline(t), newWorker(t, l, WorkerOptions{})
		served := must(w.Listen(ctx, ListenOptions{Addr: port(loopback, 0), Accept: true, Echo: true}))(t)
		queued := must(w.Listen(ctx, ListenOptions{Addr: port(loopback, 0)}))(t)
		c := must(w.Connect(ctx, ConnectOptions{To: []netip.AddrPort{served.Addr}, Count: 40}))(t)
		for range 3 {
			equal(t, "answered", must(w.EchoAll(ctx, EchoOptions{Sockets: c.Sockets}))(t), 40)
		}
		mixed := must(w.Connect(ctx, ConnectOptions{To: []netip.AddrPort{served.Addr, queued.Addr}, Count: 10}))(t)
		o := EchoOptions{Sockets: mixed.Sockets, Timeout: 100 * time.Millisecond}
		equal(t, "answered by half of the servers", must(w.EchoAll(ctx, o))(t), 5)
		o.Want, o.Timeout = 5, 0
		began := time.Now()
		equal(t, "as many as wanted", must(w.EchoAll(ctx, o))(t), 5)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("waited for more than was wanted: %v", took)
		}
		must(w.CloseSockets(ctx, c.Sockets, CloseReset))(t)
		equal(t, "closed", must(w.EchoAll(ctx, EchoOptions{Sockets: c.Sockets}))(t), 0)
	})
}
