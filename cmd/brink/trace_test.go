package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fact is a line of trace --json.
type fact map[string]any

func (f fact) string(key string) string { s, _ := f[key].(string); return s }
func (f fact) number(key string) int    { n, _ := f[key].(float64); return int(n) }

func (f fact) states() (names []string) {
	list, _ := f["brink.states"].([]any)
	last := -1.0
	for _, s := range list {
		state := s.(map[string]any)
		if at := state["at_ns"].(float64); at < last {
			names = append(names, "out of order")
		} else {
			last = at
		}
		names = append(names, state["network.connection.state"].(string))
	}
	return names
}

// tracer is `brink trace --json` in a process of its own.
type tracer struct {
	cmd   *exec.Cmd
	out   bytes.Buffer
	ended chan struct{}
}

func startTrace(t *testing.T, args ...string) *tracer {
	t.Helper()
	tr := &tracer{cmd: brink(t, append([]string{"trace", "--json"}, args...)...), ended: make(chan struct{})}
	tr.cmd.Stdout = &tr.out
	stderr := must[io.ReadCloser](t)(tr.cmd.StderrPipe())
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.cmd.Process.Kill() })
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "tracing") {
		t.Log(lines.Text())
	}
	go func() {
		io.Copy(io.Discard, stderr)
		close(tr.ended)
	}()
	return tr
}

// stop ends the trace as ctrl-C does and returns what it told, the summary last.
func (tr *tracer) stop(t *testing.T) []fact {
	t.Helper()
	tr.cmd.Process.Signal(os.Interrupt)
	<-tr.ended
	if err := tr.cmd.Wait(); err != nil {
		t.Fatalf("trace ended with %v", err)
	}
	var facts []fact
	for lines := bufio.NewScanner(&tr.out); lines.Scan(); {
		var f fact
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatalf("%v in line %s", err, lines.Text())
		}
		if !bytes.HasPrefix(lines.Bytes(), []byte(`{"kind":`)) {
			t.Errorf("kind is not first in %s", lines.Text())
		}
		facts = append(facts, f)
	}
	if len(facts) == 0 || facts[len(facts)-1].string("kind") != "summary" {
		t.Fatalf("no summary at the end of %v", facts)
	}
	last := facts[len(facts)-1]
	for _, key := range []string{"lost", "untracked", "undecodable"} {
		if last.number(key) != 0 {
			t.Errorf("summary has %s %d", key, last.number(key))
		}
	}
	return facts
}

// actors runs this binary as an ordinary program and returns its pid and lines. It
// stays until the test's end: who holds a port is looked up while the holder lives.
func actors(t *testing.T, prepare func(*exec.Cmd), addresses ...string) (pid int, lines []string) {
	t.Helper()
	cmd := exec.Command(must[string](t)(os.Executable()))
	cmd.Env = append(os.Environ(), "BRINK_TEST_ACT="+strings.Join(addresses, ","))
	cmd.Stderr = os.Stderr
	if prepare != nil {
		prepare(cmd)
	}
	stay := must[io.WriteCloser](t)(cmd.StdinPipe())
	out := must[io.ReadCloser](t)(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stay.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the actor failed: %v", err)
		}
	})
	for told := bufio.NewScanner(out); told.Scan(); {
		if told.Text() == actorIsDone {
			return cmd.Process.Pid, lines
		}
		lines = append(lines, told.Text())
	}
	t.Fatalf("the actor ended after %q", lines)
	return 0, nil
}

// traceWhole traces what act does. Where the kernel skipped programs, as it may on
// a busy or emulated CPU, and says so, that proves nothing and is repeated.
func traceWhole(t *testing.T, args []string, act func()) (facts []fact) {
	t.Helper()
	for range 4 {
		tr := startTrace(t, args...)
		act()
		time.Sleep(300 * time.Millisecond)
		facts = tr.stop(t)
		skipped := facts[len(facts)-1].number("skipped")
		if skipped == 0 {
			break
		}
		t.Logf("again: the kernel skipped %d runs", skipped)
	}
	return facts
}

// TestTraceTellsEachEndOnce holds what trace tells against what an ordinary
// program did, over IPv4 and IPv6, in this namespace and in another one.
func TestTraceTellsEachEndOnce(t *testing.T) {
	needRoot(t)
	var here, there int
	var did, didThere []string
	facts := traceWhole(t, nil, func() {
		here, did = actors(t, nil, "127.0.0.1", "::1")
		there, didThere = actors(t, inNewNetns, "127.0.0.1")
	})
	checkActor(t, facts, here, did)
	checkActor(t, facts, there, didThere)
	if netnsOf(facts, here) == netnsOf(facts, there) {
		t.Error("both actors are told of in the same namespace")
	}
}

// inNewNetns starts the actor in a network namespace of its own; it brings up
// loopback by itself.
func inNewNetns(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Env = append(cmd.Env, "BRINK_TEST_LOOPBACK=1")
}

func netnsOf(facts []fact, pid int) int {
	for _, f := range facts {
		if f.number("process.pid") == pid {
			return f.number("brink.netns")
		}
	}
	return 0
}

func checkActor(t *testing.T, facts []fact, pid int, did []string) {
	t.Helper()
	if len(did)%4 != 0 || len(did) == 0 {
		t.Fatalf("the actor says it did %q", did)
	}
	for _, line := range did {
		f := strings.Fields(line)
		switch f[0] {
		case "connection":
			client := one(t, facts, pid, "connection", "client", f[1], f[2])
			server := one(t, facts, pid, "connection", "server", f[2], f[1])
			checkStates(t, client, "syn_sent established fin_wait_1 fin_wait_2 time_wait")
			checkStates(t, server, "syn_received established close_wait last_ack closed")
			checkSpoken(t, client, server)
			enter := one(t, facts, pid, "time_wait", "", f[1], f[2])
			if enter.string("event") != "enter" || enter.string("brink.time_wait.kind") != "time_wait" {
				t.Errorf("entering TIME_WAIT is told as %v", enter)
			}
		case "orphan":
			checkOrphan(t, facts, f[1], f[2])
		case "refused":
			refused := one(t, facts, pid, "connection", "client", "", f[1])
			if refused.string("brink.errno") != "ECONNREFUSED" || refused.string("error.type") != "connection_refused" {
				t.Errorf("a refused connect is told as %v", refused)
			}
			checkStates(t, refused, "syn_sent closed")
		case "conflict":
			checkConflict(t, one(t, facts, pid, "bind_conflict", "", f[1], ""), pid, f[1])
		}
	}
}

// checkOrphan: a socket closed before its peer's enters as a timewait socket of
// kind fin_wait_2, unless the peer was as quick, and ends in TIME_WAIT.
func checkOrphan(t *testing.T, facts []fact, local, peer string) {
	t.Helper()
	var kinds []string
	for _, f := range facts {
		if f.string("kind") == "time_wait" && f.string("event") == "enter" && address(f, "local") == local && address(f, "peer") == peer {
			kinds = append(kinds, f.string("brink.time_wait.kind"))
		}
	}
	if got := strings.Join(kinds, " "); got != "fin_wait_2 time_wait" && got != "time_wait" {
		t.Errorf("an orphan's timewait socket went through %q", got)
	}
}

// one finds the single fact of that kind, role and tuple, and checks whose it is.
func one(t *testing.T, facts []fact, pid int, kind, role, local, peer string) fact {
	t.Helper()
	var found []fact
	for _, f := range facts {
		entered := kind != "time_wait" || f.string("event") == "enter"
		if f.string("kind") == kind && f.string("brink.role") == role && f.number("process.pid") == pid && entered &&
			(local == "" || address(f, "local") == local) && (peer == "" || address(f, "peer") == peer) {
			found = append(found, f)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s %s %s to %s of process %d is told %d times: %v; of that port: %v", kind, role, local, peer, pid, len(found), found, ofPort(facts, local))
	}
	if name := found[0].string("process.executable.name"); !strings.HasPrefix("brink.test", name) || name == "" {
		t.Errorf("the process is called %q", name)
	}
	return found[0]
}

// ofPort are the facts about a port, for a message.
func ofPort(facts []fact, address string) (found []fact) {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return facts
	}
	for _, f := range facts {
		if f.number("network.local.port") == int(a.Port()) || f.number("network.peer.port") == int(a.Port()) {
			found = append(found, f)
		}
	}
	return found
}

func address(f fact, side string) string {
	a := f.string("network." + side + ".address")
	if a == "" {
		return ""
	}
	addr, err := netip.ParseAddr(a)
	if err != nil {
		return a
	}
	return netip.AddrPortFrom(addr, uint16(f.number("network."+side+".port"))).String()
}

func checkStates(t *testing.T, f fact, want string) {
	t.Helper()
	if got := f.states(); !slices.Equal(got, strings.Fields(want)) {
		t.Errorf("%s %s went through %v, not %s", f.string("brink.role"), address(f, "local"), got, want)
	}
}

// checkSpoken: both ends share a trace, and each heard the 5 bytes.
func checkSpoken(t *testing.T, client, server fact) {
	t.Helper()
	if client.string("trace_id") != server.string("trace_id") || len(client.string("trace_id")) != 32 {
		t.Errorf("the ends' traces are %q and %q", client.string("trace_id"), server.string("trace_id"))
	}
	for _, f := range []fact{client, server} {
		if f.number("brink.bytes_sent") != 5 || f.number("brink.bytes_received") != 5 {
			t.Errorf("%s sent %d and received %d bytes of 5", f.string("brink.role"),
				f.number("brink.bytes_sent"), f.number("brink.bytes_received"))
		}
	}
}

func checkConflict(t *testing.T, conflict fact, pid int, local string) {
	t.Helper()
	holders, _ := conflict["brink.holders"].([]any)
	for _, h := range holders {
		holder := fact(h.(map[string]any))
		if holder.number("process.pid") == pid && holder.string("network.connection.state") == "listen" && address(holder, "local") == local {
			return
		}
	}
	t.Errorf("the listener at %s is not among the holders of %v", local, conflict)
}

// TestTraceFilters: what does not pass is not told, whatever the filter looks at.
func TestTraceFilters(t *testing.T) {
	needRoot(t)
	self := must[os.FileInfo](t)(os.Stat("/proc/self/ns/net")).Sys().(*syscall.Stat_t).Ino
	for _, c := range []struct {
		args []string
		told bool
	}{
		{[]string{"--cidr", "127.0.0.0/8"}, true},
		{[]string{"--cidr", "203.0.113.0/24"}, false},
		{[]string{"--cidr", "203.0.113.0/24", "--cidr", "127.0.0.1"}, true},
		{[]string{"--netns", fmt.Sprint(self)}, true},
		{[]string{"--netns", "1"}, false},
		{[]string{"--pid", "1"}, false},
		{[]string{"--port", "7"}, false},
		{[]string{"--cgroup", "/"}, true},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			var pid int
			var did []string
			facts := traceWhole(t, c.args, func() { pid, did = actors(t, nil, "127.0.0.1") })
			if c.told {
				checkActor(t, facts, pid, did)
			} else if told := len(facts) - 1; told != 0 {
				t.Errorf("%d facts got through: %v", told, facts)
			}
		})
	}
}

// TestTraceStates: with --states every single change is told, in order.
func TestTraceStates(t *testing.T) {
	needRoot(t)
	var pid int
	var did []string
	facts := traceWhole(t, []string{"--states", "--cidr", "127.0.0.1"}, func() { pid, did = actors(t, nil, "127.0.0.1") })
	local := strings.Fields(did[0])[1]
	var changes []string
	for _, f := range facts {
		if f.string("kind") == "state" && f.number("process.pid") == pid && f.string("brink.role") == "client" && address(f, "local") == local {
			changes = append(changes, f.string("network.connection.state"))
		}
	}
	// the tuple is complete only at ESTABLISHED: SYN_SENT comes before the port
	if got := strings.Join(changes, " "); got != "established fin_wait_1 fin_wait_2 closed" {
		t.Errorf("%s changed to %q", local, got)
	}
}
