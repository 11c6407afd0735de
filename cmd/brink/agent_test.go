package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// anAgent is `brink agent` in a process of its own, under a service manager that
// is this test.
type anAgent struct {
	cmd    *exec.Cmd
	log    *agentLog
	url    string
	socket string
	told   chan string // what systemd is told
}

// agentLog keeps what the agent writes to standard error.
type agentLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *agentLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *agentLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var servingAt = regexp.MustCompile(`msg=serving listen=(\S+)`)

// managedAgent waits until the agent says that it is ready.
func managedAgent(t *testing.T, args ...string) *anAgent {
	t.Helper()
	a := beginAgent(t, "127.0.0.1:0", args...)
	a.expect(t, "READY=1")
	return a
}

func beginAgent(t *testing.T, listen string, args ...string) *anAgent {
	t.Helper()
	a := &anAgent{log: &agentLog{}, socket: filepath.Join(shortDir(t), "agent.sock"), told: make(chan string, 100)}
	a.cmd = brink(t, append([]string{"agent", "--listen", listen, "--history-socket", a.socket}, args...)...)
	a.cmd.Env = append(a.cmd.Env, "NOTIFY_SOCKET="+a.manager(t), "WATCHDOG_USEC=1000000", "WATCHDOG_PID=")
	a.cmd.Stderr = a.log
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.cmd.Process.Kill()
		a.cmd.Wait()
		if t.Failed() {
			t.Log(a.log)
		}
	})
	return a
}

// shortDir is short enough for a socket's path.
func shortDir(t *testing.T) string {
	t.Helper()
	dir := must[string](t)(os.MkdirTemp("", "brink"))
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// manager is a service manager's end of sd_notify(3).
func (a *anAgent) manager(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(shortDir(t), "notify")
	l := must[*net.UnixConn](t)(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}))
	t.Cleanup(func() { l.Close() })
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := l.Read(buffer)
			if err != nil {
				return
			}
			a.told <- string(buffer[:n])
		}
	}()
	return path
}

// patience is for what takes as long as it takes on a busy machine.
const patience = 30 * time.Second

// expect waits until systemd is told something that begins so.
func (a *anAgent) expect(t *testing.T, state string) string {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case told := <-a.told:
			if strings.HasPrefix(told, state) {
				if at := servingAt.FindStringSubmatch(a.log.String()); at != nil {
					a.url = "http://" + at[1]
				}
				return told
			}
		case <-late:
			t.Fatalf("systemd was not told %s:\n%s", state, a.log)
		}
	}
}

func (a *anAgent) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	r := must[*http.Response](t)(http.Get(a.url + path))
	defer r.Body.Close()
	return r.StatusCode, string(must[[]byte](t)(io.ReadAll(r.Body)))
}

// sum adds up a metric's series that have these labels.
func (a *anAgent) sum(t *testing.T, name string, labels map[string]string) (sum float64) {
	t.Helper()
	_, body := a.get(t, "/metrics")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	for _, m := range families[name].GetMetric() {
		matching := 0
		for _, l := range m.Label {
			if labels[l.GetName()] == l.GetValue() {
				matching++
			}
		}
		if matching == len(labels) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// stop ends the agent as systemd does.
func (a *anAgent) stop(t *testing.T) {
	t.Helper()
	a.cmd.Process.Signal(syscall.SIGTERM)
	a.expect(t, "STOPPING=1")
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	if _, err := os.Stat(a.socket); err == nil {
		t.Error("the socket is left behind")
	}
}

// TestAgentUnderSystemd: ready, alive, reloading, stopping, in systemd's words.
func TestAgentUnderSystemd(t *testing.T) {
	needRoot(t)
	a := managedAgent(t)
	if told := a.expect(t, "WATCHDOG=1"); !strings.Contains(told, "STATUS=") {
		t.Errorf("told %q, without a status", told)
	}
	for range 3 {
		a.cmd.Process.Signal(syscall.SIGHUP)
		if told := a.expect(t, "RELOADING=1"); !strings.Contains(told, "MONOTONIC_USEC=") {
			t.Errorf("told %q, without a time", told)
		}
		a.expect(t, "READY=1")
	}
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/": "<!doctype html>"} {
		if status, body := a.get(t, path); status != 200 || !strings.HasPrefix(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _ := a.get(t, "/other"); status != 404 {
		t.Errorf("/other: %d", status)
	}
	a.stop(t)
}

// TestAgentWithoutBPF: what cannot be traced is polled, and that is told.
func TestAgentWithoutBPF(t *testing.T) {
	a := managedAgent(t, "--rung", "poll")
	if status, body := a.get(t, "/readyz"); status != 200 || !strings.HasPrefix(body, "degraded") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	limit := map[string]string{"brink_limit": "file_table"}
	for deadline := time.Now().Add(patience); a.sum(t, "brink_limit_max", limit) == 0 && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond) // the first reading comes when it is done
	}
	if n := a.sum(t, "brink_limit_max", limit); n == 0 {
		t.Error("no limit is read")
	}
	if n := a.sum(t, "brink_hook_mode", map[string]string{"brink_hook": "state", "brink_rung": "none"}); n != 1 {
		t.Errorf("the state hook is on rung none %v times", n)
	}
	if !strings.Contains(a.log.String(), "level=WARN") {
		t.Error("no warning")
	}
	a.stop(t)
}

// TestAgentPortTaken: brink names who has the port that it wants.
func TestAgentPortTaken(t *testing.T) {
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	cmd := brink(t, "agent", "--listen", l.Addr().String())
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); err == nil || code != exitFailure {
		t.Errorf("status %d", code)
	}
	want := fmt.Sprintf("brink: --listen %s: port %d is held by %d ", l.Addr(), l.Addr().(*net.TCPAddr).Port, os.Getpid())
	if !strings.HasPrefix(string(out), want) || bytes.Count(out, []byte("\n")) != 1 {
		t.Errorf("said %s, want one line that begins %s", out, want)
	}
}

// TestAgentAfterKill: nothing that a killed agent leaves is in the next one's way.
func TestAgentAfterKill(t *testing.T) {
	needRoot(t)
	first := managedAgent(t)
	first.cmd.Process.Kill()
	first.cmd.Wait()
	if _, err := os.Stat(first.socket); err != nil {
		t.Fatal("the socket is gone: this test proves nothing")
	}
	second := beginAgent(t, strings.TrimPrefix(first.url, "http://"), "--history-socket", first.socket)
	second.expect(t, "READY=1")
	if strings.Contains(second.log.String(), "level=WARN") {
		t.Errorf("it warns:\n%s", second.log)
	}
	second.socket = first.socket
	second.stop(t)
}

// TestAgentTwice: the second agent leaves the first one's socket alone.
func TestAgentTwice(t *testing.T) {
	first := managedAgent(t, "--rung", "poll")
	second := managedAgent(t, "--rung", "poll", "--history-socket", first.socket)
	for end := time.Now().Add(patience); !strings.Contains(second.log.String(), "another agent answers"); { // ready before it
		if time.Now().After(end) {
			t.Fatalf("the second one says\n%s", second.log)
		}
		time.Sleep(10 * time.Millisecond)
	}
	second.stop(t)
	if _, err := os.Stat(first.socket); err != nil {
		t.Error(err)
	}
	first.stop(t)
}

func TestAgentWrongUse(t *testing.T) {
	for _, args := range [][]string{
		{"--listen", "nowhere"}, {"--log-format", "xml"}, {"--log-level", "loud"}, {"--interval", "1ms"},
		{"--max-series", "1"}, {"--netns", "nothing"}, {"--rung", "ladder"}, {"argument"},
	} {
		cmd := brink(t, append([]string{"agent", "--listen", "", "--history-socket", ""}, args...)...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != exitUsage || !strings.HasPrefix(string(out), "brink: ") {
			t.Errorf("%v: status %d, %s", args, code, out)
		}
	}
	cmd := brink(t, "agent", "--listen", "", "--history-socket", "")
	cmd.Env = append(cmd.Env, "OTEL_METRICS_EXPORTER=smoke")
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(out), "OTEL_METRICS_EXPORTER") {
		t.Errorf("status %d, %s", cmd.ProcessState.ExitCode(), out)
	}
}
