package main

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"brink/bpf"
	"brink/collector"
	"brink/experiments/lab"
	"brink/loader"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
)

// byTracepoint are the hooks that raw tracepoints can give; the rest is polled
// or not seen where no function can be hooked, as doctor says.
var byTracepoint = []string{
	"state", "connect", "accept", "bind", "port_choice", "time_wait_enter", "descriptors", "udp_port", "file_table",
	"tcp_memory", "threads",
}

// TestHooks makes each hook's event happen and looks for it, rung by rung: what
// was attached and saw nothing does not count. BRINK_RUNGS names the rungs that
// this kernel must have; by default the one that every supported kernel has.
func TestHooks(t *testing.T) {
	needRoot(t)
	required := []string{"tracepoint"}
	if names := os.Getenv("BRINK_RUNGS"); names != "" {
		required = strings.Split(names, ",")
	}
	for _, rung := range []loader.Rung{loader.Fentry, loader.Kprobe, loader.Tracepoint} {
		t.Run(rung.String(), func(t *testing.T) { testRung(t, rung, slices.Contains(required, rung.String())) })
	}
}

func testRung(t *testing.T, rung loader.Rung, required bool) {
	tr := startTracing(t, loader.Options{Best: rung, Filter: loader.Filter{Dynamic: true}})
	if m := tr.tracer.Mode("state"); m.Rung != rung {
		if required {
			t.Fatalf("this kernel should have %s: %+v", rung, m.Refusals)
		}
		t.Skipf("this kernel has no %s: %+v", rung, m.Refusals)
	}
	for _, m := range tr.tracer.Modes() {
		if fills(rung, m.Name) && m.Rung != rung {
			t.Errorf("%s is on %s, not on %s: %+v", m.Name, m.Rung, rung, m.Refusals)
		}
	}
	if rung == loader.Tracepoint {
		testEntries(t, tr)
	}
	for _, family := range []string{"127.0.0.1", "::1"} {
		t.Run(family, func(t *testing.T) { testEvents(t, tr, rung, netip.MustParseAddr(family)) })
	}
	s := must[collector.Summary](t)(tr.collect.Summary())
	if s.Lost+s.Untracked+s.Undecodable != 0 {
		t.Errorf("evidence was lost: %+v", s)
	}
	t.Logf("%s: %d calls missed, %d runs skipped", rung, s.Missed, s.Skipped)
}

// testEntries: every call pays for a program at its entry. There is one only where
// the program at its return cannot find the call's arguments (bpf_task_pt_regs, 5.15).
func testEntries(t *testing.T, tr *tracing) {
	t.Helper()
	wanted := features.HaveProgramHelper(ebpf.TracePoint, asm.FnTaskPtRegs) != nil
	for _, hook := range []string{"connect", "bind"} {
		m := tr.tracer.Mode(hook)
		entered := slices.ContainsFunc(m.Sources, func(s string) bool { return strings.Contains(s, "sys_enter_") })
		if entered != wanted {
			t.Errorf("%s by %v: a program at the call's entry is %t, not %t", hook, m.Sources, entered, wanted)
		}
	}
}

// fills reports whether a rung of this kernel can give a hook. Functions of a
// module can be hooked by fentry only where it has BTF of its own (5.11).
func fills(rung loader.Rung, hook string) bool {
	switch rung {
	case loader.Fentry:
		return !slices.Contains(ofModule, hook) || !exists("/sys/module/nf_conntrack") || exists("/sys/kernel/btf/nf_conntrack")
	case loader.Tracepoint:
		return slices.Contains(byTracepoint, hook)
	}
	return true
}

var ofModule = []string{"conntrack_table", "nat_ports"}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// testEvents stimulates every hook in a lab of its own.
func testEvents(t *testing.T, tr *tracing, rung loader.Rung, addr netip.Addr) {
	s := newScene(t, tr, addr)
	s.passAndFail(t)
	s.endInTimeWait(t)
	s.overflow(t)
	s.exhaust(t)
	if err := tr.collect.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, m := range tr.tracer.Modes() {
		if m.Rung != rung {
			fmt.Printf("MATRIX %s %s %s\n", m.Name, rung, absent(m))
			continue
		}
		if !ownHost() && slices.Contains(hostWide, m.Name) {
			t.Logf("%s on %s: pushed in guests alone", m.Name, rung)
			continue
		}
		if s.saw(m.ID) {
			fmt.Printf("MATRIX %s %s seen\n", m.Name, rung)
			continue
		}
		fmt.Printf("MATRIX %s %s MISSING\n", m.Name, rung)
		t.Errorf("%s on %s: attached to %v, and its event was not seen", m.Name, rung, m.Sources)
	}
}

func absent(m loader.Mode) string {
	if m.Rung == loader.None {
		return "-"
	}
	return m.Rung.String()
}

// scene is a lab with what happens in it.
type scene struct {
	*tracing
	lab            *lab.Lab
	server, client *lab.Worker
	limited        *lab.Worker // with few descriptors
	at             func(port uint16) netip.AddrPort
}

const firstOfTen = 40000

func newScene(t *testing.T, tr *tracing, addr netip.Addr) *scene {
	t.Helper()
	l := newLab(t)
	if err := tr.tracer.AllowNetns(l.Netns()); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"net.ipv4.ip_local_port_range": fmt.Sprintf("%d %d", firstOfTen, firstOfTen+9),
		"net.ipv4.tcp_tw_reuse":        "1",
		"net.ipv4.tcp_fin_timeout":     "1", // an orphan's timewait socket ends by its timer
		"net.ipv4.tcp_rfc1337":         "1", // and no other one early, by a reset
	} {
		if err := l.SetSysctl(t.Context(), name, value); err != nil {
			t.Fatal(err)
		}
	}
	return &scene{
		tracing: tr, lab: l,
		server:  newWorker(t, l, lab.WorkerOptions{}),
		client:  newWorker(t, l, lab.WorkerOptions{}),
		limited: newWorker(t, l, lab.WorkerOptions{NoFile: 32}),
		at:      func(port uint16) netip.AddrPort { return netip.AddrPortFrom(addr, port) },
	}
}

// passAndFail connects until no port is left, binds a taken port, and opens
// sockets until no descriptor is.
func (s *scene) passAndFail(t *testing.T) {
	ctx := t.Context()
	must[lab.Socket](t)(s.server.Listen(ctx, lab.ListenOptions{Addr: s.at(80), Accept: true}))
	r := must[lab.ConnectResult](t)(s.client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{s.at(80)}, Count: 20}))
	if r.Opened != 10 || r.Errno != syscall.EADDRNOTAVAIL {
		t.Fatalf("ten ports gave %d connections and %v", r.Opened, r.Errno)
	}
	if _, err := s.client.Bind(ctx, lab.BindOptions{Addr: s.at(80)}); err == nil {
		t.Fatal("the listener's port could be bound again")
	}
	if u := must[lab.Until](t)(s.limited.OpenSocketsUntilRefused(ctx)); u.Refusal.Errno != syscall.EMFILE {
		t.Fatal(u.Refusal)
	}
	must[int](t)(s.client.CloseSockets(ctx, r.Sockets, lab.CloseReset))
}

// endInTimeWait leaves timewait sockets of both kinds and has each way out of
// them taken: timer, connect, SYN.
func (s *scene) endInTimeWait(t *testing.T) {
	ctx := t.Context()
	must[lab.Socket](t)(s.server.Listen(ctx, lab.ListenOptions{Addr: s.at(81), Accept: true, CloseOnEOF: true}))
	to := []netip.AddrPort{s.at(81)}
	r := must[lab.ConnectResult](t)(s.client.Connect(ctx, lab.ConnectOptions{To: to, Count: 10}))
	must[int](t)(s.client.CloseSockets(ctx, r.Sockets, lab.CloseNormally))

	// the server closes first, so that TIME_WAIT is at its side and the same
	// client port meets it with a SYN
	listener := must[lab.Socket](t)(s.server.Listen(ctx, lab.ListenOptions{Addr: s.at(82), Accept: true}))
	again := lab.ConnectOptions{
		To: []netip.AddrPort{s.at(82)}, From: s.at(5000), SocketOptions: lab.SocketOptions{ReuseAddr: true},
	}
	r = must[lab.ConnectResult](t)(s.client.Connect(ctx, again))
	s.awaitAccepted(t, listener, 1)
	must[int](t)(s.server.CloseAccepted(ctx, listener.Handle, lab.CloseNormally))
	must[int](t)(s.client.CloseSockets(ctx, r.Sockets, lab.CloseNormally))

	// orphans whose peer never closes: fin_wait_2, until tcp_fin_timeout. Several: one
	// whose FIN is acknowledged while close() holds it becomes no timewait socket
	// (tcp_rcv_state_process, sock_owned_by_user)
	const orphans = 5
	silent := must[lab.Socket](t)(s.server.Listen(ctx, lab.ListenOptions{Addr: s.at(83), Accept: true}))
	r = must[lab.ConnectResult](t)(s.client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{s.at(83)}, Count: orphans}))
	s.awaitAccepted(t, silent, orphans)
	must[int](t)(s.client.CloseSockets(ctx, r.Sockets, lab.CloseNormally))

	time.Sleep(2500 * time.Millisecond) // tcp_tw_reuse wants a second's age; the orphans' timer a second
	if r = must[lab.ConnectResult](t)(s.client.Connect(ctx, again)); r.Opened != 1 {
		t.Fatal("a new SYN did not take the tuple over: ", r.Errno)
	}
	if r = must[lab.ConnectResult](t)(s.client.Connect(ctx, lab.ConnectOptions{To: to})); r.Opened != 1 {
		t.Fatal("connect() did not take a tuple over: ", r.Errno)
	}
}

func (s *scene) awaitAccepted(t *testing.T, listener lab.Socket, n int) {
	t.Helper()
	for range 200 {
		if must[lab.Accepted](t)(s.server.Accepted(t.Context(), listener.Handle, false)).Count >= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the server accepted nothing")
}

// overflow fills an accept queue of one, lets the last ACK of its handshake
// arrive, and only then connects again: SYNs that arrive together find the
// queue empty together.
func (s *scene) overflow(t *testing.T) {
	must[lab.Socket](t)(s.server.Listen(t.Context(), lab.ListenOptions{Addr: s.at(84), Backlog: lab.NoBacklog}))
	o := lab.ConnectOptions{To: []netip.AddrPort{s.at(84)}}
	if r := must[lab.ConnectResult](t)(s.client.Connect(t.Context(), o)); r.Opened != 1 {
		t.Fatalf("an empty accept queue took none: %v", r.Errno)
	}
	time.Sleep(300 * time.Millisecond)
	o.Count, o.Concurrent, o.KeepGoing, o.Timeout = 2, true, true, 300*time.Millisecond
	if r := must[lab.ConnectResult](t)(s.client.Connect(t.Context(), o)); r.Errnos[syscall.EINPROGRESS] != 2 {
		t.Fatalf("a full accept queue and two connects: %d opened, %v", r.Opened, r.Errnos)
	}
}

// saw reports whether a fact came that only this hook can have told.
func (s *scene) saw(id bpf.BrinkHook) bool {
	here := func(netns uint32, h collector.Hook) bool { return netns == s.lab.Netns() && h == collector.Hook(id) }
	step := func(e collector.TimeWaitEvent) bool {
		return eventually(s.capture, func(w *collector.TimeWait) bool { return w.Netns == s.lab.Netns() && w.Event == e })
	}
	switch id {
	case bpf.BrinkHookHOOK_STATE:
		return eventually(s.capture, func(c *collector.Connection) bool { return here(c.Netns, c.Hook) && c.Established() })
	case bpf.BrinkHookHOOK_CONNECT:
		return eventually(s.capture, func(c *collector.Connection) bool {
			return here(c.Netns, c.Hook) && c.Errno == syscall.EADDRNOTAVAIL && c.Owner.PID == uint32(s.client.PID())
		})
	case bpf.BrinkHookHOOK_ACCEPT:
		return eventually(s.capture, func(c *collector.Connection) bool {
			return c.Netns == s.lab.Netns() && c.Role == collector.RoleServer && c.Owner.PID == uint32(s.server.PID())
		})
	case bpf.BrinkHookHOOK_BIND:
		return eventually(s.capture, func(b *collector.BindConflict) bool {
			return here(b.Netns, b.Hook) && b.Local == s.at(80) && b.Owner.PID == uint32(s.client.PID())
		})
	case bpf.BrinkHookHOOK_TIME_WAIT_ENTER:
		return step(collector.TimeWaitEnter)
	case bpf.BrinkHookHOOK_TIME_WAIT_LEAVE:
		return step(collector.TimeWaitLeave)
	case bpf.BrinkHookHOOK_TIME_WAIT_REUSE_CONNECT:
		return step(collector.TimeWaitReuseConnect)
	case bpf.BrinkHookHOOK_TIME_WAIT_REUSE_SYN:
		return step(collector.TimeWaitReuseSYN)
	}
	return eventually(s.capture, func(h *collector.LimitHit) bool { return here(h.Netns, h.Hook) }) ||
		eventually(s.capture, func(b *collector.BindConflict) bool { return here(b.Netns, b.Hook) })
}
