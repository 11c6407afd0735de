package lab

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func wantErrno(t *testing.T, err error, name string) {
	t.Helper()
	var errno syscall.Errno
	if !errors.As(err, &errno) || unix.ErrnoName(errno) != name {
		t.Errorf("got %v, want %s", err, name)
	}
}

func TestPortsRunOut(t *testing.T) {
	bothFamilies(t, func(t *testing.T, l *Lab, loopback netip.Addr) {
		ctx := deadline(t)
		noError(t, l.SetSysctl(ctx, "net.ipv4.ip_local_port_range", "40000 40009"))
		noError(t, l.SetSysctl(ctx, "net.ipv4.ip_local_reserved_ports", "40003,40005-40006"))
		server, client := newWorker(t, l, WorkerOptions{}), newWorker(t, l, WorkerOptions{})
		s := must(server.Listen(ctx, ListenOptions{Addr: port(loopback, 80), Accept: true}))(t)
		o := ConnectOptions{To: []netip.AddrPort{s.Addr}, Count: 100, Locals: true}

		c := must(client.Connect(ctx, o))(t)
		equal(t, "opened", c.Opened, 7)
		equal(t, "attempts", c.Attempts, 8)
		equal(t, "errno", c.Errno, syscall.EADDRNOTAVAIL)
		equal(t, "call", c.FailedCall, "connect")
		equal(t, "locals", len(c.Locals), 7)
		equal(t, "closed", must(client.CloseSockets(ctx, c.Sockets, CloseReset))(t), 7)

		o.From = port(loopback, 0) // bind() chooses, and refuses with another errno
		c = must(client.Connect(ctx, o))(t)
		equal(t, "opened, bound first", c.Opened, 7)
		equal(t, "errno, bound first", c.Errno, syscall.EADDRINUSE)
		equal(t, "call, bound first", c.FailedCall, "bind")
		must(client.CloseSockets(ctx, c.Sockets, CloseReset))(t)

		o.BindAddressNoPort, o.KeepGoing, o.Count = true, true, 10
		c = must(client.Connect(ctx, o))(t)
		equal(t, "opened, port left open", c.Opened, 7)
		equal(t, "refused, port left open", c.Errnos[syscall.EADDRNOTAVAIL], 3)
		must(client.CloseAll(ctx, CloseReset))(t)

		o = ConnectOptions{To: o.To, Count: 10, SocketOptions: SocketOptions{LocalPortRange: [2]uint16{40000, 40002}, Linger0: true}}
		c = must(client.Connect(ctx, o))(t)
		if c.Errno == syscall.ENOPROTOOPT {
			t.Skip("left out: this kernel is older than IP_LOCAL_PORT_RANGE (6.3)")
		}
		equal(t, "opened, the socket's range", c.Opened, 3)
	})
}

func TestWholeTupleOnlyOnce(t *testing.T) {
	bothFamilies(t, func(t *testing.T, l *Lab, loopback netip.Addr) {
		ctx := deadline(t)
		w := newWorker(t, l, WorkerOptions{})
		one := must(w.Listen(ctx, ListenOptions{Addr: port(loopback, 80), Accept: true, Greet: true}))(t)
		two := must(w.Listen(ctx, ListenOptions{Addr: port(loopback, 81), Accept: true, Greet: true}))(t)
		o := ConnectOptions{
			To: []netip.AddrPort{one.Addr, two.Addr, one.Addr}, From: port(loopback, 5000),
			SocketOptions: SocketOptions{ReuseAddr: true}, Greeting: true,
		}
		c := must(w.Connect(ctx, o))(t)
		equal(t, "opened", c.Opened, 2)
		equal(t, "errno", c.Errno, syscall.EADDRNOTAVAIL)
		for i, s := range []Socket{one, two} {
			equal(t, "greeting", c.Greetings[i], Greeting{Server: s.Addr, Client: o.From})
			seen := must(w.Accepted(ctx, s.Handle, true))(t)
			equal(t, "accepted", seen.Connections[0], Connection{Local: s.Addr, Peer: o.From})
		}
		o.ReuseAddr = false
		c = must(w.Connect(ctx, o))(t)
		equal(t, "without SO_REUSEADDR", c.Errno, syscall.EADDRINUSE)
		equal(t, "without SO_REUSEADDR", c.FailedCall, "bind")
	})
}

func TestBoundSocketGoesFurther(t *testing.T) {
	bothFamilies(t, func(t *testing.T, l *Lab, loopback netip.Addr) {
		ctx, w := deadline(t), newWorker(t, newLab(t, Options{}), WorkerOptions{})
		a := must(w.Bind(ctx, BindOptions{Addr: port(loopback, 7000)}))(t)
		_, err := w.Bind(ctx, BindOptions{Addr: port(loopback, 7000)})
		wantErrno(t, err, "EADDRINUSE")
		must(w.ListenBound(ctx, a.Handle, ListenOptions{Accept: true, Echo: true}))(t)

		b := must(w.Bind(ctx, BindOptions{Addr: port(loopback, 7002)}))(t)
		_, err = w.ConnectBound(ctx, b.Handle, port(loopback, 7001), 0)
		wantErrno(t, err, "ECONNREFUSED")
		chosen := must(w.Bind(ctx, BindOptions{Addr: port(loopback, 0)}))(t)
		_, err = w.ConnectBound(ctx, chosen.Handle, port(loopback, 7001), 0)
		wantErrno(t, err, "ECONNREFUSED")
		must(w.Bind(ctx, BindOptions{Addr: chosen.Addr}))(t) // given back by the refusal
		_, err = w.Bind(ctx, BindOptions{Addr: b.Addr})
		wantErrno(t, err, "EADDRINUSE") // asked for, so kept
		c := must(w.ConnectBound(ctx, b.Handle, a.Addr, 0))(t)
		equal(t, "connection", c, Connection{Local: b.Addr, Peer: a.Addr})
		for range 3 {
			equal(t, "echo", must(w.Say(ctx, b.Handle, "are you there"))(t), "are you there")
		}
	})
}

func TestDualStack(t *testing.T) {
	ctx, w, no, yes := deadline(t), newWorker(t, newLab(t, Options{}), WorkerOptions{}), false, true
	all := netip.IPv6Unspecified()
	s := must(w.Listen(ctx, ListenOptions{Addr: port(all, 80), SocketOptions: SocketOptions{V6Only: &no}, Accept: true, Greet: true}))(t)
	to := netip.MustParseAddrPort("127.0.0.1:80")
	c := must(w.Connect(ctx, ConnectOptions{To: []netip.AddrPort{to}, Greeting: true}))(t)
	equal(t, "greeting", c.Greetings[0].Server, to)
	must(w.CloseSockets(ctx, s.Sockets(), CloseNormally))(t)
	must(w.Listen(ctx, ListenOptions{Addr: port(all, 81), SocketOptions: SocketOptions{V6Only: &yes}}))(t)
	c = must(w.Connect(ctx, ConnectOptions{To: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:81")}}))(t)
	equal(t, "IPv6 only", c.Errno, syscall.ECONNREFUSED)
}

// Up to half of the range a connect costs the same; beyond, the kernel walks
// through the full parity first (__inet_hash_connect), twenty times slower.
func TestManyConnections(t *testing.T) {
	ctx, l := deadline(t), newLab(t, Options{})
	noError(t, l.SetSysctl(ctx, "net.ipv4.ip_local_port_range", "32768 60999"))
	server, client := newWorker(t, l, WorkerOptions{}), newWorker(t, l, WorkerOptions{})
	room := min(must(server.FreeDescriptors(ctx))(t).Free(), must(client.FreeDescriptors(ctx))(t).Free())
	count := int(min(room, 10010)) - 10
	s := must(server.Listen(ctx, ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:80"), Accept: true, CloseOnEOF: true}))(t)
	c := must(client.Connect(ctx, ConnectOptions{To: []netip.AddrPort{s.Addr}, Count: count, Locals: true}))(t)
	equal(t, "opened", c.Opened, count)
	equal(t, "local addresses", len(c.Locals), count)
	accepted := func() Accepted { return must(server.Accepted(ctx, s.Handle, true))(t) }
	eventually(t, "all accepted", func() bool { return accepted().Open == count && len(accepted().Connections) == count })
	t.Logf("%d connections in %v", c.Opened, c.Elapsed)
	must(client.CloseAll(ctx, CloseNormally))(t)
	eventually(t, "all closed by the server too", func() bool { return accepted().Open == 0 })
}
