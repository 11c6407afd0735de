package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"brink/experiments/lab"
)

// checkBinds holds what why says a new server would be told against what the
// kernel tells one. "may be" is right either way, but only where may is true.
func (s *whyScene) checkBinds(t *testing.T, said whySaid, may bool) {
	t.Helper()
	for _, reuse := range []bool{true, false} {
		got, err := s.server.Bind(t.Context(), lab.BindOptions{Addr: s.wildcard, SocketOptions: lab.SocketOptions{ReuseAddr: reuse}})
		if err == nil {
			must[int](t)(s.server.CloseSockets(t.Context(), got.Sockets(), lab.CloseNormally))
		}
		var refusal *lab.Refusal
		if err != nil && (!errors.As(err, &refusal) || refusal.Errno != syscall.EADDRINUSE) {
			t.Fatal(err)
		}
		f := s.bindAnswer(t, said, reuse)
		switch allowed, known := f["brink.allowed"]; {
		case known && allowed != (err == nil), !known && !(may && reuse):
			t.Errorf("a bind of %s with SO_REUSEADDR %v gave %v; why says %v", s.wildcard, reuse, err, f.string("text"))
		}
	}
}

func (s *whyScene) bindAnswer(t *testing.T, said whySaid, reuse bool) fact {
	t.Helper()
	for _, f := range said.of("bind") {
		option, one := f["brink.reuseaddr"]
		if (!one || option == reuse) && strings.Contains(f.string("text"), s.wildcard.String()) {
			return f
		}
	}
	t.Fatalf("nothing is said about binding %s with SO_REUSEADDR %v: %v", s.wildcard, reuse, said.of("bind"))
	return nil
}

func TestWhyPortListener(t *testing.T) {
	forWhyScenes(t, func(t *testing.T, s *whyScene) {
		for _, reuse := range []bool{false, true} {
			listener := must[lab.Socket](t)(s.server.Listen(t.Context(), lab.ListenOptions{
				Addr: s.at, Backlog: 4, SocketOptions: lab.SocketOptions{ReuseAddr: reuse}}))
			said := whySnapshot(t, s.Lab, "8080")
			want := fmt.Sprintf("port 8080 is held by %d brink-worker (listening on %s).", s.server.PID(), s.at)
			if said.verdict != want {
				t.Errorf("the verdict is %q, not %q", said.verdict, want)
			}
			said.one(t, "held", fact{
				"process.pid": s.server.PID(), "network.transport": "tcp", "network.connection.state": "listen",
				"network.local.address": s.at.Addr(), "network.local.port": 8080, "brink.reuseaddr": reuse, "brink.reuseport": false,
				"advice": fmt.Sprintf("stop %d brink-worker", s.server.PID()),
			})
			said.one(t, "accept_queue", fact{"brink.limit": "accept_queue", "brink.limit.used": 0, "brink.limit.max": 5})
			s.checkBinds(t, said, false)
			must[int](t)(s.server.CloseSockets(t.Context(), listener.Sockets(), lab.CloseNormally))
		}
	})
}

// TestWhyPortBound: what has bound and does not listen is not in `ss -l`.
func TestWhyPortBound(t *testing.T) {
	forWhyScenes(t, func(t *testing.T, s *whyScene) {
		for _, reuse := range []bool{false, true} {
			bound := must[lab.Socket](t)(s.client.Bind(t.Context(), lab.BindOptions{
				Addr: s.at, SocketOptions: lab.SocketOptions{ReuseAddr: reuse}}))
			said := whySnapshot(t, s.Lab, "8080")
			want := fmt.Sprintf("port 8080 is held by %d brink-worker (bound to %s and not listening, so that ss -l does not show it).", s.client.PID(), s.at)
			if said.verdict != want {
				t.Errorf("the verdict is %q, not %q", said.verdict, want)
			}
			said.one(t, "bound", fact{"process.pid": s.client.PID(), "network.connection.state": "bound", "brink.reuseaddr": reuse})
			s.checkBinds(t, said, false)
			must[int](t)(s.client.CloseSockets(t.Context(), bound.Sockets(), lab.CloseNormally))
		}
	})
}

// TestWhyPortTimeWait: whether SO_REUSEADDR helps depends on what had the port
// before, which nothing tells; why must not pretend to know.
func TestWhyPortTimeWait(t *testing.T) {
	forWhyScenes(t, func(t *testing.T, s *whyScene) {
		s.leaveTimeWaits(t)
		said := whySnapshot(t, s.Lab, "8080")
		const want = "port 8080 is held by no process: 3 closed connections are in TIME_WAIT, which last at most 60 s more."
		if said.verdict != want {
			t.Errorf("the verdict is %q, not %q", said.verdict, want)
		}
		said.one(t, "time_wait", fact{"brink.count": 3, "process.pid": nil, "advice": "set SO_REUSEADDR before bind()"})
		s.checkBinds(t, said, true)
	})
}

// leaveTimeWaits has the server's end of three connections close first, then the
// listener go.
func (s *whyScene) leaveTimeWaits(t *testing.T) {
	t.Helper()
	listener := must[lab.Socket](t)(s.server.Listen(t.Context(), lab.ListenOptions{
		Addr: s.at, Accept: true, SocketOptions: lab.SocketOptions{ReuseAddr: true}}))
	r := must[lab.ConnectResult](t)(s.client.Connect(t.Context(), lab.ConnectOptions{To: []netip.AddrPort{s.at}, Count: 3}))
	for range 200 {
		if must[lab.Accepted](t)(s.server.Accepted(t.Context(), listener.Handle, false)).Count == 3 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	must[int](t)(s.server.CloseAccepted(t.Context(), listener.Handle, lab.CloseNormally))
	must[int](t)(s.client.CloseSockets(t.Context(), r.Sockets, lab.CloseNormally))
	must[int](t)(s.server.CloseSockets(t.Context(), listener.Sockets(), lab.CloseNormally))
	time.Sleep(100 * time.Millisecond)
}

func TestWhyPortNobody(t *testing.T) {
	forWhyScenes(t, func(t *testing.T, s *whyScene) {
		said := whySnapshot(t, s.Lab, "port:8080")
		want := "nobody holds port 8080: a new server could bind it."
		if len(said.of("elsewhere")) > 0 {
			want = "nobody holds port 8080 in this network namespace, but " // other tests' servers
		}
		if !strings.HasPrefix(said.verdict, want) {
			t.Errorf("the verdict is %q, not %q", said.verdict, want)
		}
		said.one(t, "free", fact{"text": "No socket, TCP or UDP, in any state, has the port in this network namespace."})
		said.one(t, "port_range", fact{"brink.port.chosen": false, "advice": nil})
		must[lab.Socket](t)(s.server.Bind(t.Context(), lab.BindOptions{Addr: s.at}))
	})
}

// TestWhyPortConnected: a client has the port by chance.
func TestWhyPortConnected(t *testing.T) {
	forWhyScenes(t, func(t *testing.T, s *whyScene) {
		if err := s.SetSysctl(t.Context(), "net.ipv4.ip_local_port_range", "8080 8081"); err != nil {
			t.Fatal(err)
		}
		to := netip.AddrPortFrom(s.at.Addr(), 80)
		must[lab.Socket](t)(s.server.Listen(t.Context(), lab.ListenOptions{Addr: to, Accept: true}))
		r := must[lab.ConnectResult](t)(s.client.Connect(t.Context(), lab.ConnectOptions{To: []netip.AddrPort{to}, Count: 2}))
		if r.Opened != 2 {
			t.Fatal(r.Errno)
		}
		said := whySnapshot(t, s.Lab, "8080")
		want := fmt.Sprintf("port 8080 is in use by %d brink-worker (established from %s to %s), and nobody listens on it.", s.client.PID(), s.at, to)
		if said.verdict != want {
			t.Errorf("the verdict is %q, not %q", said.verdict, want)
		}
		said.one(t, "port_range", fact{"brink.port.chosen": true, "advice": "sysctl -w net.ipv4.ip_local_reserved_ports=8080"})
		s.checkBinds(t, said, false)
	})
}

// TestWhyPortUDP: UDP holds it, TCP does not, and why says both.
func TestWhyPortUDP(t *testing.T) {
	forWhyScenes(t, func(t *testing.T, s *whyScene) {
		held := listenUDPInside(t, s.Lab, s.at)
		defer held.Close()
		said := whySnapshot(t, s.Lab, "8080")
		want := fmt.Sprintf("port 8080 is held by %d brink.test (UDP on %s).", os.Getpid(), s.at)
		if said.verdict != want {
			t.Errorf("the verdict is %q, not %q", said.verdict, want)
		}
		said.one(t, "held", fact{"process.pid": os.Getpid(), "network.transport": "udp"})
		said.one(t, "free", fact{"text": "No TCP socket, in any state, has the port in this network namespace."})
		said.one(t, "bind", fact{"network.transport": "udp", "brink.allowed": false, "brink.errno": "EADDRINUSE"})
		must[lab.Socket](t)(s.server.Bind(t.Context(), lab.BindOptions{Addr: s.at}))
	})
}
