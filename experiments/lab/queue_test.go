package lab

import (
	"net/netip"
	"syscall"
	"testing"
	"time"
)

func TestAcceptQueue(t *testing.T) {
	bothFamilies(t, func(t *testing.T, l *Lab, loopback netip.Addr) {
		for _, concurrent := range []bool{false, true} {
			ctx, w := deadline(t), newWorker(t, l, WorkerOptions{})
			s := must(w.Listen(ctx, ListenOptions{Addr: port(loopback, 0), Backlog: 4}))(t)
			before := must(l.Counters(ctx))(t)["TcpExt.ListenOverflows"]
			o := ConnectOptions{To: []netip.AddrPort{s.Addr}, Count: 7, Concurrent: concurrent, KeepGoing: true, Timeout: 100 * time.Millisecond}
			c := must(w.Connect(ctx, o))(t)
			equal(t, "established", c.Opened, 5)
			equal(t, "unanswered", c.Errnos[syscall.EINPROGRESS], 2)
			if after := must(l.Counters(ctx))(t)["TcpExt.ListenOverflows"]; after < before+2 {
				t.Errorf("ListenOverflows: %d, before it was %d", after, before)
			}
			a := must(w.AcceptN(ctx, s.Handle, AcceptOptions{Count: 7, Timeout: 20 * time.Millisecond}))(t)
			equal(t, "accepted", a.Accepted, 5)
			equal(t, "accept's errno", a.Errno, 0)
			equal(t, "closed", must(w.CloseAccepted(ctx, s.Handle, CloseReset))(t), 5)
			noError(t, w.Close())
		}
	})
}

func TestNoBacklog(t *testing.T) {
	ctx, w := deadline(t), newWorker(t, newLab(t, Options{}), WorkerOptions{})
	s := must(w.Listen(ctx, ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Backlog: NoBacklog}))(t)
	c := must(w.Connect(ctx, ConnectOptions{To: []netip.AddrPort{s.Addr}, Count: 3, Timeout: 50 * time.Millisecond}))(t)
	equal(t, "established", c.Opened, 1)
	equal(t, "attempts", c.Attempts, 2)
}

// With fewer connects a second than it takes to notice, the pace is the measure.
func TestPace(t *testing.T) {
	ctx, w := deadline(t), newWorker(t, newLab(t, Options{}), WorkerOptions{})
	s := must(w.Listen(ctx, ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")}))(t)
	c := must(w.Connect(ctx, ConnectOptions{To: []netip.AddrPort{s.Addr}, Count: 11, Every: 10 * time.Millisecond}))(t)
	if c.Elapsed < 100*time.Millisecond {
		t.Errorf("11 connects, one each 10 ms, took %v", c.Elapsed)
	}
}

// Whoever closes first has TIME_WAIT; a reset leaves none; FIN alone keeps the socket.
func TestClosing(t *testing.T) {
	bothFamilies(t, func(t *testing.T, l *Lab, loopback netip.Addr) {
		ctx, w := deadline(t), newWorker(t, l, WorkerOptions{})
		s := must(w.Listen(ctx, ListenOptions{Addr: port(loopback, 80), Accept: true, CloseOnEOF: true}))(t)
		tw := func() uint64 { return must(l.Counters(ctx))(t)["TCP.tw"] }
		open := func() int { return must(w.Accepted(ctx, s.Handle, false))(t).Open }
		connect := func() Sockets {
			c := must(w.Connect(ctx, ConnectOptions{To: []netip.AddrPort{s.Addr}, Count: 3}))(t)
			eventually(t, "accepted", func() bool { return open() == 3 })
			return c.Sockets
		}
		must(w.CloseSockets(ctx, connect(), CloseReset))(t)
		eventually(t, "reset", func() bool { return open() == 0 && tw() == 0 })

		run := connect()
		equal(t, "shut down", must(w.CloseSockets(ctx, run, ShutdownWrite))(t), 3)
		eventually(t, "three timewait sockets", func() bool { return open() == 0 && tw() == 3 })
		equal(t, "still open here", must(w.CloseSockets(ctx, run, CloseNormally))(t), 3)

		connect()
		equal(t, "closed by the server", must(w.CloseAccepted(ctx, s.Handle, CloseNormally))(t), 3)
		// both ends would have TIME_WAIT if this one closed before the FIN is there
		eventually(t, "three in FIN_WAIT2, as timewait sockets", func() bool { return tw() == 6 })
		equal(t, "closed here", must(w.CloseAll(ctx, CloseNormally))(t), 4) // and the listener
		eventually(t, "six timewait sockets", func() bool { return tw() == 6 })
		_, err := w.AcceptN(ctx, 99, AcceptOptions{})
		if err == nil {
			t.Error("a listener that never was accepted")
		}
	})
}
