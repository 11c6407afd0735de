package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"brink/collector/limits"
	"brink/experiments/lab"
)

// readLimits is one sample by `brink limits --json`, in a process of its own.
func readLimits(t *testing.T) []fact {
	t.Helper()
	cmd := brink(t, "limits", "--json", "--interval", "0")
	cmd.Stderr = os.Stderr
	return limitFacts(t, must[[]byte](t)(cmd.Output()))
}

func limitFacts(t *testing.T, lines []byte) (facts []fact) {
	t.Helper()
	for line := range bytes.Lines(lines) {
		var f fact
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatalf("%v in line %s", err, line)
		}
		facts = append(facts, f)
	}
	return facts
}

// limitOf is the one reading of a limit that has all the given fields.
func limitOf(t *testing.T, facts []fact, limit string, fields fact) fact {
	t.Helper()
	found := limitsOf(facts, limit, fields)
	if len(found) != 1 {
		t.Fatalf("%d readings of %s with %v: %v", len(found), limit, fields, found)
	}
	return found[0]
}

func limitsOf(facts []fact, limit string, fields fact) (found []fact) {
	for _, f := range facts {
		if f.string("brink.limit") == limit && f.string("kind") == "limit" && f.has(fields) {
			found = append(found, f)
		}
	}
	return found
}

// has compares fields as they print; nil stands for absent.
func (f fact) has(fields fact) bool {
	for key, want := range fields {
		if got, ok := f[key]; ok != (want != nil) || ok && fmt.Sprint(got) != fmt.Sprint(want) {
			return false
		}
	}
	return true
}

func usedOf(t *testing.T, f fact, used, most int) {
	t.Helper()
	if f.number("brink.limit.used") != used || f.number("brink.limit.max") != most {
		t.Errorf("used %d of %d, want %d of %d: %v", f.number("brink.limit.used"), f.number("brink.limit.max"), used, most, f)
	}
}

// limitsLab is a namespace of 100 ports, of which ten are reserved, with a
// server and a client.
type limitsLab struct {
	*lab.Lab
	server, client *lab.Worker
}

func newLimitsLab(t *testing.T) limitsLab {
	t.Helper()
	needRoot(t)
	l := newLab(t)
	for name, value := range map[string]string{
		"net.ipv4.ip_local_port_range":     "40000 40099",
		"net.ipv4.ip_local_reserved_ports": "80,40000-40009",
		"net.ipv4.tcp_max_tw_buckets":      "7",
		"net.ipv4.tcp_tw_reuse":            "0",
	} {
		if err := l.SetSysctl(t.Context(), name, value); err != nil {
			t.Fatal(err)
		}
	}
	return limitsLab{
		Lab: l, server: newWorker(t, l, lab.WorkerOptions{}), client: newWorker(t, l, lab.WorkerOptions{}),
	}
}

func (l limitsLab) with(fields fact) fact {
	all := fact{"brink.netns": float64(l.Netns())}
	for key, value := range fields {
		all[key] = value
	}
	return all
}

// TestLimitsOfPorts: what limits says is what connect() then finds, to the port.
func TestLimitsOfPorts(t *testing.T) {
	l := newLimitsLab(t)
	ctx := t.Context()
	to := netip.MustParseAddrPort("127.0.0.1:80")
	must[lab.Socket](t)(l.server.Listen(ctx, lab.ListenOptions{Addr: to, Accept: true, CloseOnEOF: true}))
	must[lab.Socket](t)(l.server.Listen(ctx, lab.ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:40050")}))
	r := must[lab.ConnectResult](t)(l.client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{to}, Count: 35, Locals: true}))
	must[int](t)(l.client.CloseSockets(ctx, lab.Sockets{First: r.Sockets.First, Count: 5}, lab.CloseNormally))
	towards := l.with(fact{
		"network.transport": "tcp", "network.local.address": "127.0.0.1", "network.local.port": nil,
		"network.peer.address": "127.0.0.1", "network.peer.port": 80,
	})
	var facts []fact
	for range 100 {
		facts = readLimits(t)
		if limitOf(t, facts, "time_wait_buckets", l.with(nil)).number("brink.limit.used") == 5 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	usedOf(t, limitOf(t, facts, "time_wait_buckets", l.with(nil)), 5, 7)
	row := limitOf(t, facts, "ephemeral_ports", towards)
	usedOf(t, row, 35, 89)
	if row.string("brink.limit.note") != "5 in TIME_WAIT" || !strings.Contains(row.string("brink.limit.knob"), "= 40000 40099, 10 of them in") {
		t.Errorf("%v", row)
	}
	if others := limitsOf(facts, "ephemeral_ports", l.with(nil)); len(others) != 1 {
		t.Errorf("the server's ends count as well: %v", others)
	}

	// Bound sockets, at any address of either family, take ports from connect().
	unused := unusedPorts(r.Locals)
	for i, addr := range []string{"127.0.0.9", "127.0.0.9", "127.0.0.9", "::1"} {
		at := netip.AddrPortFrom(netip.MustParseAddr(addr), unused[i])
		must[lab.Socket](t)(l.client.Bind(ctx, lab.BindOptions{Addr: at}))
	}
	facts = readLimits(t)
	usedOf(t, limitOf(t, facts, "ephemeral_ports", towards), 35, 85)
	usedOf(t, limitOf(t, facts, "ephemeral_ports", l.with(fact{
		"network.local.address": "127.0.0.9", "network.peer.address": nil})), 3, 90)

	// The kernel agrees: 50 more, and no further one.
	r = must[lab.ConnectResult](t)(l.client.Connect(ctx, lab.ConnectOptions{To: []netip.AddrPort{to}, Count: 100}))
	if r.Opened != 50 || r.Errno != syscall.EADDRNOTAVAIL {
		t.Errorf("%d more connections and %v, want 50", r.Opened, r.Errno)
	}
	facts = readLimits(t)
	row = limitOf(t, facts, "ephemeral_ports", towards)
	usedOf(t, row, 85, 85)
	if row["brink.limit.utilization"] != 1.0 {
		t.Errorf("%v", row)
	}
}

// unusedPorts are those of the lab's range that no connection has, nor the
// listener.
func unusedPorts(locals []netip.AddrPort) (ports []uint16) {
	for port := uint16(40010); port < 40050; port++ {
		if !slices.ContainsFunc(locals, func(a netip.AddrPort) bool { return a.Port() == port }) {
			ports = append(ports, port)
		}
	}
	return ports
}

func TestLimitsOfQueues(t *testing.T) {
	l := newLimitsLab(t)
	ctx := t.Context()
	full, deferring := netip.MustParseAddrPort("127.0.0.1:81"), netip.MustParseAddrPort("127.0.0.1:82")
	must[lab.Socket](t)(l.server.Listen(ctx, lab.ListenOptions{Addr: full, Backlog: 4}))
	must[lab.Socket](t)(l.server.Listen(ctx, lab.ListenOptions{Addr: deferring, Backlog: 8, DeferAccept: 30 * time.Second}))
	for _, to := range []netip.AddrPort{full, deferring} {
		o := lab.ConnectOptions{To: []netip.AddrPort{to}, Count: 3}
		if r := must[lab.ConnectResult](t)(l.client.Connect(ctx, o)); r.Opened != 3 {
			t.Fatalf("%d connected to %v: %v", r.Opened, to, r.Errno)
		}
	}
	time.Sleep(200 * time.Millisecond) // the handshakes' last ACKs are processed
	facts := readLimits(t)
	owned := func(port int) fact {
		return l.with(fact{
			"network.local.address": "127.0.0.1", "network.local.port": port,
			"process.pid": l.server.PID(), "process.executable.name": "brink-worker",
		})
	}
	usedOf(t, limitOf(t, facts, "accept_queue", owned(81)), 3, 5)
	usedOf(t, limitOf(t, facts, "syn_queue", owned(81)), 0, 5)
	usedOf(t, limitOf(t, facts, "accept_queue", owned(82)), 0, 9)
	usedOf(t, limitOf(t, facts, "syn_queue", owned(82)), 3, 9)
}

func TestLimitsOfDescriptors(t *testing.T) {
	needRoot(t)
	w := newWorker(t, newLab(t), lab.WorkerOptions{NoFile: 64})
	until := must[lab.Until](t)(w.OpenSocketsUntilRefused(t.Context()))
	must[int](t)(w.CloseSockets(t.Context(), lab.Sockets{First: until.Sockets.First, Count: 3}, lab.CloseNormally))
	f := limitOf(t, readLimits(t), "file_descriptors", fact{"process.pid": w.PID()})
	usedOf(t, f, 61, 64)
}

// TestLimitsOfManyDestinations: beyond ten they are counted, not dropped.
func TestLimitsOfManyDestinations(t *testing.T) {
	l := newLimitsLab(t)
	var to []netip.AddrPort
	for port := uint16(100); port < 112; port++ {
		at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
		must[lab.Socket](t)(l.server.Listen(t.Context(), lab.ListenOptions{Addr: at, Accept: true}))
		to = append(to, at)
	}
	must[lab.ConnectResult](t)(l.client.Connect(t.Context(), lab.ConnectOptions{To: to}))
	facts := readLimits(t)
	if rows := limitsOf(facts, "ephemeral_ports", l.with(nil)); len(rows) != 10 {
		t.Errorf("%d rows", len(rows))
	}
	for _, f := range facts {
		if f.string("kind") == "left_out" && f.has(l.with(fact{"brink.limit": "ephemeral_ports"})) {
			if f.number("brink.count") != 2 {
				t.Errorf("%v", f)
			}
			return
		}
	}
	t.Error("the other two are not mentioned")
}

// TestLimitsRate: with two samples, what grows between them has a rate.
func TestLimitsRate(t *testing.T) {
	cmd := brink(t, "limits", "--json", "--interval", "100ms")
	for _, f := range limitFacts(t, must[[]byte](t)(cmd.Output())) {
		if f.string("brink.limit") == "file_table" {
			if _, ok := f["brink.limit.rate"]; !ok {
				t.Errorf("no rate: %v", f)
			}
			return
		}
	}
	t.Error("no file table")
}

// TestLimitsWatch: one block an interval, until ctrl-C, which is a success.
func TestLimitsWatch(t *testing.T) {
	cmd := brink(t, "limits", "--json", "--watch", "--interval", "100ms")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("it ended with %v", err)
	}
	times := map[string]bool{}
	for _, f := range limitFacts(t, out.Bytes()) {
		times[f.string("time")] = true
	}
	if len(times) < 3 {
		t.Errorf("%d blocks in 1.5 s", len(times))
	}
}

func TestLimitsWrongUse(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"limits", "everything"}, `limits takes no argument "everything"`},
		{[]string{"limits", "--interval", "-1s"}, "give a time above 0"},
		{[]string{"limits", "--watch", "--interval", "0"}, "give a time above 0"},
		{[]string{"limits", "--no-such-flag"}, "flag provided but not defined"},
	} {
		cmd := brink(t, c.args...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(string(out), c.says) || bytes.Count(out, []byte("\n")) != 1 {
			t.Errorf("brink %v ended with %d and said %q", c.args, code, out)
		}
	}
}

// TestLimitsPlainUser: what is readable is read, and one sentence says what is not.
func TestLimitsPlainUser(t *testing.T) {
	needRoot(t)
	dir := must[string](t)(os.MkdirTemp("/tmp", "brink-test-"))
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "brink.test")
	if err := os.WriteFile(binary, must[[]byte](t)(os.ReadFile("/proc/self/exe")), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "limits", "--json", "--interval", "0")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "BRINK_TEST_AS_BRINK=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	facts := limitFacts(t, must[[]byte](t)(cmd.Output()))
	for _, limit := range []string{"file_table", "ephemeral_ports", "time_wait_buckets", "threads"} {
		if len(limitsOf(facts, limit, nil)) == 0 {
			t.Errorf("no %s", limit)
		}
	}
	if said := stderr.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "could not read the namespace") || !strings.Contains(said, "try sudo") {
		t.Errorf("it said %q", said)
	}
}

var textSnapshot = limits.Snapshot{
	Readings: []limits.Reading{
		{Limit: limits.EphemeralPorts, Netns: 4, Transport: "tcp", Local: netip.MustParseAddrPort("10.0.0.1:0"),
			Peer: netip.MustParseAddrPort("10.0.0.2:443"), Used: 95, Max: 100, Rate: 0.5, Rated: true, Knob: "range = 1 100", Note: "5 in TIME_WAIT"},
		{Limit: limits.FileDescriptors, PID: 812, Process: "ng\x1binx", Used: 70, Max: 100, Knob: "RLIMIT_NOFILE = 100"},
		{Limit: limits.AcceptQueue, Netns: 5, Local: netip.MustParseAddrPort("0.0.0.0:80"), PID: 812, Process: "nginx", Used: 1, Max: 5, Knob: "backlog = 4"},
		{Limit: limits.FileTable, Used: 0, Max: 1<<63 - 1, Knob: "fs.file-max"},
		{Limit: limits.ConntrackTable, Netns: 5, Used: 0, Max: 10, Knob: "nf_conntrack_max"},
		{Limit: limits.AcceptQueue, Netns: 5, Local: netip.MustParseAddrPort("[::]:81"), Used: 0, Max: 5, Knob: "backlog = 4"},
	},
	LeftOut: []limits.Omission{{Limit: limits.EphemeralPorts, Netns: 4, Count: 3}},
}

const textWant = `LIMIT             WHOSE                               NETNS  USED        MAX     %  FULL IN  KNOB                 NOTE
ephemeral_ports   10.0.0.1 -> 10.0.0.2:443 tcp        4        95        100  95.0      10s  range = 1 100        5 in TIME_WAIT
file_descriptors  ng?inx[812]                                  70        100  70.0           RLIMIT_NOFILE = 100
accept_queue      0.0.0.0:80 nginx[812]               5         1          5  20.0           backlog = 4
file_table        host                                          0  unlimited   0.0           fs.file-max
accept_queue      [::]:81                             5         0          5   0.0           backlog = 4
`

func TestLimitsText(t *testing.T) {
	var b bytes.Buffer
	limitsText(&b, textSnapshot, false)
	tableLines, rest, _ := strings.Cut(b.String(), "\n\n")
	if got, want := strings.Fields(tableLines), strings.Fields(textWant); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("it shows\n%s", b.String())
	}
	for _, says := range []string{
		"ephemeral_ports: every local port", "file_descriptors: the process has",
		"3 more of ephemeral_ports of namespace 4 are used less", "1 more have nothing used",
	} {
		if strings.Count(rest, says) != 1 {
			t.Errorf("%q is not said once in\n%s", says, rest)
		}
	}
	if strings.Contains(b.String(), "\x1b") || strings.Contains(rest, "accept_queue:") {
		t.Errorf("it shows\n%q", b.String())
	}
	b.Reset()
	limitsText(&b, textSnapshot, true)
	for _, says := range []string{"\x1b[31mephemeral_ports\x1b[0m", "\x1b[33mfile_descriptors\x1b[0m"} {
		if !strings.Contains(b.String(), says) {
			t.Errorf("no %q in %q", says, b.String())
		}
	}
}
