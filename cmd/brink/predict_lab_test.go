package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"brink/experiments/lab"
)

// runInside runs a command in a lab's network namespace. A child is born in the
// namespace of the thread that forks it; that thread never comes back.
func runInside(t *testing.T, l *lab.Lab, cmd *exec.Cmd) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	inLab(t, l, func() error {
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%v: %w: %s", cmd.Args, err, &stderr)
		}
		return nil
	})
	return stdout.Bytes()
}

// predictedFor asks predict inside the lab and returns the rows of one limit.
func predictedFor(t *testing.T, l *lab.Lab, to netip.AddrPort, limit string) (rows []fact) {
	t.Helper()
	out := runInside(t, l, brink(t, "predict", "--json", "--to", to.String()))
	for line := range bytes.Lines(out) {
		var f fact
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if f.string("brink.limit") == limit {
			rows = append(rows, f)
		}
	}
	return rows
}

// predictedPorts are the ephemeral ports in all, and those still free, by the
// row that is compared.
func predictedPorts(t *testing.T, l *lab.Lab, to netip.AddrPort) fact {
	t.Helper()
	for _, f := range predictedFor(t, l, to, "ephemeral_ports") {
		if f.string("unit") == standing {
			return f
		}
	}
	t.Fatal("nothing is predicted for ephemeral_ports")
	return nil
}

// portsCase is a namespace's settings, and what they are predicted to give.
type portsCase struct {
	name, ends, reserved, reuse string
	listen                      uint16
	value, atMost               int // atMost 0: exactly value
}

// TestPredictMeetsTheKernel holds the prediction for ephemeral ports against
// connecting until the kernel refuses, with nothing in use and with some.
func TestPredictMeetsTheKernel(t *testing.T) {
	needRoot(t)
	for _, c := range []portsCase{
		{name: "reserved and a listener", ends: "40000 40099", reserved: "40010-40019", listen: 40050, value: 89},
		{name: "a listener outside", ends: "40000 40099", listen: 80, value: 100},
		{name: "odd", ends: "40000 40098", listen: 80, value: 98, atMost: 99},
		{name: "odd, both ends reserved", ends: "40000 40098", reserved: "40000,40098", listen: 80, value: 97},
		{name: "odd, the listener at one end", ends: "40000 40098", listen: 40098, value: 97, atMost: 98},
	} {
		for _, address := range []string{"127.0.0.1", "::1"} {
			t.Run(c.name+" "+address, func(t *testing.T) { c.check(t, netip.MustParseAddr(address)) })
		}
	}
}

func (c *portsCase) lab(t *testing.T) *lab.Lab {
	t.Helper()
	l := newLab(t)
	if c.reuse == "" {
		c.reuse = "0"
	}
	for name, value := range map[string]string{
		"net.ipv4.ip_local_port_range": c.ends, "net.ipv4.ip_local_reserved_ports": c.reserved,
		"net.ipv4.tcp_tw_reuse": c.reuse,
		"net.ipv4.tcp_rfc1337":  "1", // no reset ends a TIME_WAIT early
	} {
		if err := l.SetSysctl(t.Context(), name, value); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (c *portsCase) check(t *testing.T, addr netip.Addr) {
	l := c.lab(t)
	server, client := newWorker(t, l, lab.WorkerOptions{}), newWorker(t, l, lab.WorkerOptions{})
	to := netip.AddrPortFrom(addr, c.listen)
	must[lab.Socket](t)(server.Listen(t.Context(), lab.ListenOptions{Addr: to, Accept: true}))

	p := predictedPorts(t, l, to)
	if p.number("value") != c.value || p.number("at_most") != c.atMost || p.number("free") != c.value {
		t.Fatalf("predicted: %v", p)
	}
	connect := func(n int) lab.ConnectResult {
		return must[lab.ConnectResult](t)(client.Connect(t.Context(), lab.ConnectOptions{To: []netip.AddrPort{to}, Count: n}))
	}
	const first = 30
	if r := connect(first); r.Opened != first {
		t.Fatal(r.Opened, r.Errno)
	}
	p = predictedPorts(t, l, to)
	if p.number("used") != first || p.number("free") != c.value-first {
		t.Errorf("with %d connections: %v", first, p)
	}
	r := connect(1000)
	opened := first + r.Opened
	if opened < c.value || opened > max(c.value, c.atMost) || r.Errno != syscall.EADDRNOTAVAIL {
		t.Errorf("%d connections and %v, predicted: %v", opened, r.Errno, p)
	}
	t.Logf("%d connections, %d to %d predicted", opened, c.value, max(c.value, c.atMost))
	p = predictedPorts(t, l, to)
	if p.number("free") != 0 || p["smallest"] != true {
		t.Errorf("with no port left: %v", p)
	}
}

// TestPredictAndTimeWait: ports in TIME_WAIT are in use, unless connect() may
// take them.
func TestPredictAndTimeWait(t *testing.T) {
	needRoot(t)
	const ports, closed = 50, 20
	for reuse, used := range map[string]int{"0": closed, "1": 0, "2": 0} {
		t.Run("tcp_tw_reuse "+reuse, func(t *testing.T) {
			l := (&portsCase{ends: "40000 40049", reuse: reuse}).lab(t)
			server, client := newWorker(t, l, lab.WorkerOptions{}), newWorker(t, l, lab.WorkerOptions{})
			to := netip.MustParseAddrPort("127.0.0.1:80")
			must[lab.Socket](t)(server.Listen(t.Context(), lab.ListenOptions{Addr: to, Accept: true, CloseOnEOF: true}))
			o := lab.ConnectOptions{To: []netip.AddrPort{to}, Count: closed}
			r := must[lab.ConnectResult](t)(client.Connect(t.Context(), o))
			must[int](t)(client.CloseSockets(t.Context(), r.Sockets, lab.CloseNormally))
			time.Sleep(2500 * time.Millisecond) // old enough to be taken: a second, by a clock of whole seconds before 6.14

			p := predictedPorts(t, l, to)
			if p.number("used") != used || p.number("free") != ports-used || !strings.Contains(p.string("note"), fmt.Sprint(closed)) {
				t.Errorf("predicted: %v", p)
			}
			o.Count = 1000
			if r = must[lab.ConnectResult](t)(client.Connect(t.Context(), o)); r.Opened != ports-used {
				t.Errorf("%d connections and %v, predicted: %v", r.Opened, r.Errno, p)
			}
		})
	}
}

// TestPredictWithoutRoute: a destination that nothing leads to is a failure, in
// one sentence.
func TestPredictWithoutRoute(t *testing.T) {
	needRoot(t)
	cmd := brink(t, "predict", "--to", "192.0.2.7:443")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, _ := cmd.CombinedOutput()
	const says = "brink: find the way from this host to 192.0.2.7: network is unreachable (ip route get 192.0.2.7 shows what the kernel says)\n"
	if code := cmd.ProcessState.ExitCode(); code != exitFailure || string(out) != says {
		t.Errorf("it ended with %d and said %s", code, out)
	}
}

// TestPredictCaller: the descriptors are those that brink's caller may have, not
// brink's own, whose limit Go has raised.
func TestPredictCaller(t *testing.T) {
	self := brink(t, "predict", "--json", "--to", "127.0.0.1:80")
	cmd := exec.Command("/bin/sh", "-c", `ulimit -n 100 || exit 1; "$0" predict --json --to 127.0.0.1:80; true`, self.Path)
	cmd.Env = append(self.Env, "")
	for line := range bytes.Lines(must[[]byte](t)(cmd.Output())) {
		var f fact
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if f.string("brink.limit") == "file_descriptors" {
			if f.number("value") != 97 || f["smallest"] != true {
				t.Errorf("ulimit -n 100: %v", f)
			}
			return
		}
	}
	t.Error("nothing is predicted for file_descriptors")
}
