package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"brink/experiments/lab"
)

// TestWhyProcess: 60 of 64 descriptors are used, and the process runs out while
// it is watched.
func TestWhyProcess(t *testing.T) {
	s := newWhyScene(t, whyAddresses[0])
	w := newWorker(t, s.Lab, lab.WorkerOptions{NoFile: 64})
	must[lab.Socket](t)(w.Listen(t.Context(), lab.ListenOptions{Addr: s.at, Backlog: 4}))
	until := must[lab.Until](t)(w.OpenSocketsUntilRefused(t.Context()))
	must[int](t)(w.CloseSockets(t.Context(), lab.Sockets{First: until.Sockets.First, Count: 4}, lab.CloseNormally))

	said := whyAbout(t, fmt.Sprintf("pid:%d", w.PID()))
	if want := fmt.Sprintf("process %d brink-worker is short of file descriptors (60 of 64 in use).", w.PID()); said.verdict != want {
		t.Errorf("the verdict is %q, not %q", said.verdict, want)
	}
	short := said.one(t, "fd_short", fact{"brink.limit": "file_descriptors", "brink.limit.used": 60, "brink.limit.max": 64, "process.pid": w.PID()})
	if !strings.Contains(short.string("text"), "sockets") || !strings.HasPrefix(short.string("advice"), fmt.Sprintf("prlimit --pid %d --nofile=", w.PID())) {
		t.Errorf("%v", short)
	}
	said.one(t, "accept_queue", fact{"network.local.port": 8080, "brink.limit.max": 5})

	said = whyWatching(t, func(*exec.Cmd) {
		if u := must[lab.Until](t)(w.OpenSocketsUntilRefused(t.Context())); u.Refusal.Errno != syscall.EMFILE {
			t.Error(u.Refusal)
		}
		must[lab.Until](t)(w.OpenSocketsUntilRefused(t.Context()))
	}, "--duration", "1s", fmt.Sprintf("pid:%d", w.PID()))
	said.one(t, "refused", fact{"brink.limit": "file_descriptors", "brink.errno": "EMFILE", "brink.count": 2, "process.pid": w.PID()})
}

// whyAbout asks about what has a namespace of its own.
func whyAbout(t *testing.T, argument string) whySaid {
	t.Helper()
	return readWhy(t, must[[]byte](t)(brink(t, "why", "--json", "--duration", "0", argument).Output()))
}

// TestWhyCloseWait: the peer has closed, and the program has not.
func TestWhyCloseWait(t *testing.T) {
	s := newWhyScene(t, whyAddresses[1])
	must[lab.Socket](t)(s.server.Listen(t.Context(), lab.ListenOptions{Addr: s.at, Accept: true}))
	r := must[lab.ConnectResult](t)(s.client.Connect(t.Context(), lab.ConnectOptions{To: []netip.AddrPort{s.at}, Count: 12}))
	time.Sleep(200 * time.Millisecond) // until they are accepted
	must[int](t)(s.client.CloseSockets(t.Context(), r.Sockets, lab.ShutdownWrite))
	time.Sleep(100 * time.Millisecond)
	said := whyAbout(t, fmt.Sprintf("pid:%d", s.server.PID()))
	if !strings.HasSuffix(said.verdict, "; it has not closed 12 connections that the peer has.") {
		t.Errorf("the verdict is %q", said.verdict)
	}
	said.one(t, "close_wait", fact{"brink.count": 12})
	if said = whyAbout(t, fmt.Sprintf("pid:%d", s.client.PID())); len(said.of("close_wait")) > 0 {
		t.Errorf("the client has none, but %v", said.of("close_wait"))
	}
}

// TestWhyDestination: ten ports, all taken; what is refused meanwhile is counted
// and named.
func TestWhyDestination(t *testing.T) {
	forWhyScenes(t, func(t *testing.T, s *whyScene) {
		if err := s.SetSysctl(t.Context(), "net.ipv4.ip_local_port_range", "40000 40009"); err != nil {
			t.Fatal(err)
		}
		must[lab.Socket](t)(s.server.Listen(t.Context(), lab.ListenOptions{Addr: s.at, Accept: true}))
		o := lab.ConnectOptions{To: []netip.AddrPort{s.at}, Count: 4}
		must[lab.ConnectResult](t)(s.client.Connect(t.Context(), o))
		said := whySnapshot(t, s.Lab, s.at.String())
		want := fmt.Sprintf("nothing stands in the way to %s: %d brink-worker listens there, and 6 of 10 ports are free from %s.", s.at, s.server.PID(), s.at.Addr())
		if said.verdict != want {
			t.Errorf("the verdict is %q, not %q", said.verdict, want)
		}

		o.Count = 20
		must[lab.ConnectResult](t)(s.client.Connect(t.Context(), o))
		said = whyWatching(t, func(*exec.Cmd) {
			again := lab.ConnectOptions{To: []netip.AddrPort{s.at}, Count: 7, KeepGoing: true}
			if r := must[lab.ConnectResult](t)(s.client.Connect(t.Context(), again)); r.Errnos[syscall.EADDRNOTAVAIL] != 7 {
				t.Error(r.Errnos)
			}
		}, "--duration", "1s", "--netns", fmt.Sprintf("pid:%d", s.PID()), s.at.String())
		for _, says := range []string{
			fmt.Sprintf("no port is left from %s to %s (10 of 10 are taken): connect() gives EADDRNOTAVAIL", s.at.Addr(), s.at),
			fmt.Sprintf("7 refused connects to %s (EADDRNOTAVAIL), in the ", s.at),
		} {
			if !strings.Contains(said.verdict, says) {
				t.Errorf("the verdict is %q, without %q", said.verdict, says)
			}
		}
		said.one(t, "ephemeral_ports", fact{"brink.limit.used": 10, "brink.limit.max": 10, "network.peer.port": 8080})
		if n := len(said.of("refused")); n != 1 {
			t.Errorf("%d kinds of refusal: %v", n, said.of("refused"))
		}
		said.one(t, "refused", fact{
			"brink.limit": "ephemeral_ports", "brink.errno": "EADDRNOTAVAIL", "brink.count": 7, "process.pid": s.client.PID(),
			"network.peer.address": s.at.Addr(), "network.peer.port": 8080,
		})
	})
}

// TestWhyRefused: connects to a port where nobody listens, and binds of a taken
// one.
func TestWhyRefused(t *testing.T) {
	forWhyScenes(t, func(t *testing.T, s *whyScene) {
		args := []string{"--duration", "1s", "--netns", fmt.Sprintf("pid:%d", s.PID()), "8080"}
		said := whyWatching(t, func(*exec.Cmd) {
			o := lab.ConnectOptions{To: []netip.AddrPort{s.at}, Count: 5, KeepGoing: true}
			if r := must[lab.ConnectResult](t)(s.client.Connect(t.Context(), o)); r.Errnos[syscall.ECONNREFUSED] != 5 {
				t.Error(r.Errnos)
			}
		}, args...)
		said.one(t, "refused", fact{"brink.failure": "refused", "brink.errno": "ECONNREFUSED", "brink.count": 5, "process.pid": s.client.PID()})

		must[lab.Socket](t)(s.server.Listen(t.Context(), lab.ListenOptions{Addr: s.at}))
		said = whyWatching(t, func(*exec.Cmd) {
			if _, err := s.client.Bind(t.Context(), lab.BindOptions{Addr: s.at}); err == nil {
				t.Error("the listener's port could be bound again")
			}
		}, args...)
		f := said.one(t, "refused", fact{"brink.limit": "bind_conflict", "brink.errno": "EADDRINUSE", "brink.count": 1, "process.pid": s.client.PID()})
		if !strings.Contains(f.string("text"), fmt.Sprintf("held by %d brink-worker; the holder listens", s.server.PID())) {
			t.Errorf("%v", f)
		}
	})
}

// TestWhyAcceptQueue: a full one is in the verdict, and no listener is told.
func TestWhyAcceptQueue(t *testing.T) {
	forWhyScenes(t, func(t *testing.T, s *whyScene) {
		said := whySnapshot(t, s.Lab, s.at.String())
		if want := fmt.Sprintf("nobody listens on %s, which is this host: connect() gives ECONNREFUSED.", s.at); said.verdict != want {
			t.Errorf("the verdict is %q, not %q", said.verdict, want)
		}
		said.one(t, "no_listener", fact{"brink.errno": "ECONNREFUSED"})

		must[lab.Socket](t)(s.server.Listen(t.Context(), lab.ListenOptions{Addr: s.at, Backlog: 1}))
		must[lab.ConnectResult](t)(s.client.Connect(t.Context(), lab.ConnectOptions{To: []netip.AddrPort{s.at}, Count: 2}))
		time.Sleep(200 * time.Millisecond) // the handshakes' last ACKs are processed
		full := fmt.Sprintf("accept queue of %d brink-worker at %s is full (2 of 2)", s.server.PID(), s.at)
		if said = whySnapshot(t, s.Lab, s.at.String()); !strings.Contains(said.verdict, full) {
			t.Errorf("the verdict is %q, without %q", said.verdict, full)
		}
		if said = whySnapshot(t, s.Lab, "8080"); !strings.Contains(said.verdict, "the accept queue at "+s.at.String()+" is full (2 of 2)") {
			t.Errorf("the verdict is %q", said.verdict)
		}
		for _, argument := range []string{"8080", fmt.Sprintf("pid:%d", s.server.PID())} {
			s.checkOverflow(t, argument)
		}
	})
}

// checkOverflow has a full queue refuse two more. A counter that is polled tells
// it where no hook does, of the one listener that is full.
func (s *whyScene) checkOverflow(t *testing.T, argument string) {
	t.Helper()
	args := []string{"--duration", "1500ms", argument}
	if !strings.HasPrefix(argument, "pid:") {
		args = append(args, "--netns", fmt.Sprintf("pid:%d", s.PID()))
	}
	said := whyWatching(t, func(*exec.Cmd) {
		o := lab.ConnectOptions{To: []netip.AddrPort{s.at}, Count: 2, Concurrent: true, KeepGoing: true, Timeout: 300 * time.Millisecond}
		if r := must[lab.ConnectResult](t)(s.client.Connect(t.Context(), o)); r.Errnos[syscall.EINPROGRESS] != 2 {
			t.Errorf("a full accept queue and two connects: %v", r.Errnos)
		}
	}, args...)
	f := said.one(t, "refused", fact{"brink.limit": "accept_queue", "network.local.port": 8080, "network.peer.port": nil})
	if f.number("brink.count") < 2 || !strings.Contains(said.verdict, "at "+s.at.String()+" (dropped), in the ") {
		t.Errorf("%s: %v; the verdict is %q", argument, f, said.verdict)
	}
}

// TestWhyWithoutRoute: in a namespace where nothing leads to it, run inside.
func TestWhyWithoutRoute(t *testing.T) {
	s := newWhyScene(t, whyAddresses[0])
	said := readWhy(t, runInside(t, s.Lab, brink(t, "why", "--json", "--duration", "0", "192.0.2.7:443")))
	const want = "nothing leads from here to 192.0.2.7: connect() gives ENETUNREACH (network is unreachable)."
	if said.verdict != want {
		t.Errorf("the verdict is %q, not %q", said.verdict, want)
	}
	said.one(t, "route", fact{"brink.errno": "ENETUNREACH", "error.type": "network_unreachable"})
}

// TestWhyElsewhere: the port is free here, and held in another namespace.
func TestWhyElsewhere(t *testing.T) {
	there, here := newWhyScene(t, whyAddresses[0]), newWhyScene(t, whyAddresses[0])
	must[lab.Socket](t)(there.server.Listen(t.Context(), lab.ListenOptions{Addr: there.at}))
	said := whySnapshot(t, here.Lab, "8080")
	said.one(t, "elsewhere", fact{"brink.netns": float64(there.Netns()), "process.pid": there.server.PID()})
	said.one(t, "free", nil)
	if !strings.HasPrefix(said.verdict, "nobody holds port 8080 in this network namespace, but ") {
		t.Errorf("the verdict is %q", said.verdict)
	}
}

// TestWhyInterrupted: ctrl-C ends the watching early, and the diagnosis is told.
func TestWhyInterrupted(t *testing.T) {
	needRoot(t)
	began := time.Now()
	said := whyWatching(t, func(cmd *exec.Cmd) { cmd.Process.Signal(os.Interrupt) }, "--duration", "5m", "127.0.0.1:9")
	if time.Since(began) > time.Minute {
		t.Error("it watched to the end")
	}
	said.one(t, "not_refused", nil)
}
