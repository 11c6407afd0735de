package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"brink/experiments/lab"
)

// What the churn does.
const (
	churned   = 300
	failing   = 7
	conflicts = 5
)

// TestAgentCountsChurn holds what a scrape says of a namespace against what two
// ordinary processes did there. Where the kernel left runs of programs out, and
// says so, that proves nothing and is repeated.
func TestAgentCountsChurn(t *testing.T) {
	needRoot(t)
	for range 4 {
		a := managedAgent(t, "--interval", "1h") // no look at the namespaces in between
		wrong := a.churn(t)
		skipped := a.sum(t, "brink_program_skipped_total", nil)
		a.stop(t)
		if len(wrong) == 0 {
			return
		}
		if skipped == 0 {
			t.Error(strings.Join(wrong, "\n"))
			return
		}
		t.Logf("again: the kernel skipped %v runs; %s", skipped, wrong)
	}
	t.Error("the kernel skipped runs each time")
}

// churn is what a scrape tells wrong, once it has had time to tell it right.
func (a *anAgent) churn(t *testing.T) (wrong []string) {
	t.Helper()
	l := newLab(t)
	netns := strconv.Itoa(int(l.Netns()))
	before := a.figures(t, netns) // another namespace may have had the number
	server, client := newWorker(t, l, lab.WorkerOptions{}), newWorker(t, l, lab.WorkerOptions{})
	at := netip.MustParseAddrPort("127.0.0.1:80")
	must[lab.Socket](t)(server.Listen(t.Context(), lab.ListenOptions{Addr: at, Accept: true, CloseOnEOF: true}))
	r := must[lab.ConnectResult](t)(client.Connect(t.Context(), lab.ConnectOptions{To: []netip.AddrPort{at}, Count: churned}))
	must[int](t)(client.CloseSockets(t.Context(), r.Sockets, lab.CloseNormally))
	must[lab.ConnectResult](t)(client.Connect(t.Context(), lab.ConnectOptions{
		To: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:81")}, Count: failing, KeepGoing: true}))
	for range conflicts {
		if _, err := client.Bind(t.Context(), lab.BindOptions{Addr: at}); err == nil {
			t.Fatal("the port is free")
		}
	}
	deadline := time.Now().Add(patience)
	for wrong = a.differences(t, netns, before); len(wrong) > 0 && time.Now().Before(deadline); wrong = a.differences(t, netns, before) {
		time.Sleep(100 * time.Millisecond)
	}
	if len(wrong) > 0 {
		t.Log(a.seriesOf(t, netns))
	}
	return wrong
}

// seriesOf is everything that is counted for a namespace, and what was lost.
func (a *anAgent) seriesOf(t *testing.T, netns string) (lines string) {
	t.Helper()
	_, body := a.get(t, "/metrics")
	for line := range strings.Lines(body) {
		counter := strings.Contains(line, "_total{") && strings.Contains(line, `brink_netns="`+netns)
		if counter || strings.HasPrefix(line, "brink_events") || strings.HasPrefix(line, "brink_program_skipped") {
			lines += line
		}
	}
	return lines
}

// toldOfChurn are sums over the series of a namespace, and what they grow by.
var toldOfChurn = []struct {
	name, key, value string
	want             float64
}{
	{"brink_connection_opened_total", "brink_role", "client", churned},
	{"brink_connection_opened_total", "brink_role", "server", churned},
	{"brink_connection_closed_total", "brink_role", "client", churned},
	{"brink_connection_closed_total", "brink_role", "server", churned},
	{"brink_connection_handshake_duration_seconds", "brink_role", "client", churned},
	{"brink_connection_duration_seconds", "brink_role", "server", churned},
	{"brink_connection_failed_total", "error_type", "connection_refused", failing},
	{"brink_limit_hits_total", "brink_limit", "bind_conflict", conflicts},
	{"brink_time_wait_entered_total", "", "", churned}, // of either kind: who closed first also waits for a FIN
}

func (a *anAgent) figures(t *testing.T, netns string) (list []float64) {
	t.Helper()
	for _, e := range toldOfChurn {
		labels := map[string]string{"brink_netns": netns}
		if e.key != "" {
			labels[e.key] = e.value
		}
		list = append(list, a.sum(t, e.name, labels))
	}
	return list
}

func (a *anAgent) differences(t *testing.T, netns string, before []float64) (list []string) {
	t.Helper()
	for i, n := range a.figures(t, netns) {
		if e := toldOfChurn[i]; n-before[i] != e.want {
			list = append(list, fmt.Sprintf("%s{%s=%q} has grown by %v, want %v", e.name, e.key, e.value, n-before[i], e.want))
		}
	}
	return list
}

// TestAgentSeriesAreBounded: with more of anything than there may be series, the
// rest is counted together.
func TestAgentSeriesAreBounded(t *testing.T) {
	needRoot(t)
	const most = 4
	a := managedAgent(t, "--max-series", strconv.Itoa(most))
	for range most + 1 {
		a.makeOne(t)
	}
	_, body := a.get(t, "/metrics")
	series := 0
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "brink_connection_opened_total{") {
			series++
		}
	}
	if series != most {
		t.Errorf("%d series, want %d:\n%s", series, most, body)
	}
	if n := a.sum(t, "brink_connection_opened_total", map[string]string{"otel_metric_overflow": "true"}); n < 2*(most+1)-(most-1) {
		t.Errorf("the overflow has %v", n)
	}
	a.stop(t)
}

// makeOne connects once in a namespace of its own, which lasts until the end of
// the test: its number would be given to the next.
func (a *anAgent) makeOne(t *testing.T) {
	t.Helper()
	l := newLab(t)
	w := newWorker(t, l, lab.WorkerOptions{})
	at := netip.MustParseAddrPort("127.0.0.1:80")
	must[lab.Socket](t)(w.Listen(t.Context(), lab.ListenOptions{Addr: at, Accept: true}))
	must[lab.ConnectResult](t)(w.Connect(t.Context(), lab.ConnectOptions{To: []netip.AddrPort{at}, Count: 1}))
}

// TestWhyAsksTheAgent: what was refused before brink why was called is told, and
// by whom that was watched.
func TestWhyAsksTheAgent(t *testing.T) {
	needRoot(t)
	a := managedAgent(t)
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	for range conflicts {
		if _, err := net.Listen("tcp", l.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("listening twice: %v", err)
		}
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	var out []byte
	deadline := time.Now().Add(patience)
	for !bytes.Contains(out, []byte(`"brink.count":5`)) {
		if time.Now().After(deadline) {
			t.Fatalf("the refusals are not told:\n%s", out)
		}
		out = must[[]byte](t)(brink(t, "why", "--json", "--history-socket", a.socket, port).Output())
	}
	for line := range bytes.Lines(out) {
		if !json.Valid(line) {
			t.Errorf("no JSON: %s", line)
		}
	}
	if !bytes.Contains(out, []byte("the agent")) {
		t.Errorf("who watched is not said:\n%s", out)
	}
	// another port's refusals are not this one's
	out = must[[]byte](t)(brink(t, "why", "--json", "--history-socket", a.socket, "port:9").Output())
	if bytes.Contains(out, []byte(`"brink.count":5`)) {
		t.Errorf("refusals of another port:\n%s", out)
	}
	a.stop(t)
}
