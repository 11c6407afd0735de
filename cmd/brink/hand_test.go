package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// handBrink is `brink listen` or `brink connect --json` in a process of its own.
type handBrink struct {
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	stderr bytes.Buffer
	told   []fact
}

func handStart(t *testing.T, args ...string) *handBrink {
	t.Helper()
	h := &handBrink{cmd: brink(t, append(args, "--json")...)}
	h.lines = bufio.NewScanner(must[io.ReadCloser](t)(h.cmd.StdoutPipe()))
	h.cmd.Stderr = &h.stderr
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.cmd.Process.Kill() })
	return h
}

// next reads until a line of that kind; the zero fact is the end.
func (h *handBrink) next(t *testing.T, kind string) fact {
	t.Helper()
	for h.lines.Scan() {
		var f fact
		if err := json.Unmarshal(h.lines.Bytes(), &f); err != nil {
			t.Fatalf("%v in line %s", err, h.lines.Text())
		}
		h.told = append(h.told, f)
		if f.string("kind") == kind {
			return f
		}
	}
	return nil
}

// end reads to the end, where a summary stands, and returns the exit status.
func (h *handBrink) end(t *testing.T) int {
	t.Helper()
	h.next(t, "nothing")
	h.cmd.Wait()
	if len(h.told) == 0 || h.told[len(h.told)-1].string("kind") != "summary" {
		t.Errorf("no summary at the end of %v; %s", h.told, &h.stderr)
	}
	return h.cmd.ProcessState.ExitCode()
}

func (h *handBrink) interrupt(t *testing.T) int {
	t.Helper()
	h.cmd.Process.Signal(os.Interrupt)
	return h.end(t)
}

func (h *handBrink) all(kind string) (some []fact) {
	for _, f := range h.told {
		if f.string("kind") == kind {
			some = append(some, f)
		}
	}
	return some
}

func handListening(t *testing.T, at string) (h *handBrink, local string) {
	t.Helper()
	h = handStart(t, "listen", at)
	return h, address(h.next(t, "listening"), "local")
}

// TestHandEcho: both ends tell the same two addresses, and each message.
func TestHandEcho(t *testing.T) {
	for _, c := range []struct{ listen, connect string }{
		{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "::1"}, {":0", "127.0.0.1"}, {":0", "::1"},
	} {
		t.Run(c.listen+" from "+c.connect, func(t *testing.T) {
			server, at := handListening(t, c.listen)
			_, port, _ := net.SplitHostPort(at)
			client := handStart(t, "connect", net.JoinHostPort(c.connect, port), "--count", "2", "--messages", "3", "--interval", "10ms", "--message", "a\x1bb")
			if code := client.end(t); code != 0 {
				t.Errorf("connect ended with %d: %s", code, &client.stderr)
			}
			for range 2 {
				server.next(t, "closed")
			}
			if code := server.interrupt(t); code != 0 {
				t.Errorf("listen ended with %d: %s", code, &server.stderr)
			}
			handCheckEnds(t, client, server)
			if m := server.all("message"); len(m) != 6 || m[0].string("message") != "a?b" {
				t.Errorf("listen tells of the messages %v", m)
			}
			if e := client.all("echo"); len(e) != 6 || e[0].number("rtt_ns") <= 0 {
				t.Errorf("connect tells of the echoes %v", e)
			}
			if s := server.told[len(server.told)-1]; s.number("connections") != 2 || s.number("messages") != 6 || s.number("bytes") != 24 {
				t.Errorf("listen sums up %v", s)
			}
		})
	}
}

func handCheckEnds(t *testing.T, client, server *handBrink) {
	t.Helper()
	mirrored := map[string]bool{}
	for _, f := range server.all("accepted") {
		mirrored[address(f, "peer")+" "+address(f, "local")] = true
	}
	connected := client.all("connected")
	for _, f := range connected {
		if !mirrored[address(f, "local")+" "+address(f, "peer")] {
			t.Errorf("connect says %v, listen %v", f, mirrored)
		}
	}
	if len(connected) != 2 || len(mirrored) != 2 {
		t.Errorf("%d connected, %d accepted, of 2", len(connected), len(mirrored))
	}
}

// TestHandBind: one source port serves two destinations where the option is
// set, one where it is not; the same 4-tuple twice is refused with it, too.
func TestHandBind(t *testing.T) {
	_, one := handListening(t, "127.0.0.1:0")
	_, two := handListening(t, "127.0.0.1:0")
	for _, c := range []struct {
		option, second, limit, errno string
	}{
		{"--reuseaddr", two, "", ""},
		{"", two, "bind_conflict", "EADDRINUSE"},
		{"--reuseaddr", one, "four_tuple", "EADDRNOTAVAIL"},
	} {
		t.Run(c.option+c.limit, func(t *testing.T) {
			from := []string{"--bind", handFreePort(t)}
			if c.option != "" {
				from = append(from, c.option)
			}
			first := handStart(t, append([]string{"connect", one}, from...)...)
			first.next(t, "connected")
			second := handStart(t, append([]string{"connect", c.second, "--messages", "1"}, from...)...)
			code := second.end(t)
			handCheckRefused(t, second, code, c.limit, c.errno)
			if code := first.interrupt(t); code != 0 {
				t.Errorf("ctrl-C ended the first with %d: %s", code, &first.stderr)
			}
		})
	}
}

// handCheckRefused: a refusal is one line of JSON and one for people; no limit
// is no refusal.
func handCheckRefused(t *testing.T, h *handBrink, code int, limit, errno string) {
	t.Helper()
	refused := h.all("refused")
	if limit == "" {
		if code != 0 || len(refused) != 0 {
			t.Errorf("it ended with %d and %v: %s", code, refused, &h.stderr)
		}
		return
	}
	if code != exitFailure || len(refused) != 1 || refused[0].string("brink.limit") != limit || refused[0].string("brink.errno") != errno {
		t.Errorf("it ended with %d and %v", code, refused)
	}
	said := h.stderr.String()
	if strings.Count(said, "\n") != 1 || !strings.Contains(said, limit) || !strings.Contains(said, "; brink why ") {
		t.Errorf("it said %q", said)
	}
}

// TestHandPortRange: four ports make four connections to one destination.
func TestHandPortRange(t *testing.T) {
	_, at := handListening(t, "127.0.0.1:0")
	client := handStart(t, "connect", at, "--local-port-range", "40000-40003", "--count", "5")
	code := client.end(t)
	if strings.Contains(client.stderr.String(), "ENOPROTOOPT") {
		t.Skipf("left out: %s", &client.stderr)
	}
	if n := len(client.all("connected")); n != 4 {
		t.Errorf("%d connected", n)
	}
	handCheckRefused(t, client, code, "ephemeral_ports", "EADDRNOTAVAIL")
}

// TestHandDescriptors: the connection that finds no descriptor says so.
func TestHandDescriptors(t *testing.T) {
	_, at := handListening(t, "127.0.0.1:0")
	plain := brink(t)
	client := &handBrink{cmd: exec.Command("sh", "-c", `ulimit -n 24 && exec "$0" connect "$1" --count 40 --json`, plain.Path, at)}
	client.cmd.Env, client.cmd.Dir, client.cmd.Stderr = plain.Env, plain.Dir, &client.stderr
	client.lines = bufio.NewScanner(must[io.ReadCloser](t)(client.cmd.StdoutPipe()))
	if err := client.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	code := client.end(t)
	handCheckRefused(t, client, code, "file_descriptors", "EMFILE")
}

// TestHandSilence: a listener whose accept queue is full drops SYNs; the connect
// that waits gives up in time, and ctrl-C does not wait for it.
func TestHandSilence(t *testing.T) {
	full, refused := (&handListener{teller: handTeller{w: io.Discard}}).open(netip.MustParseAddrPort("127.0.0.1:0"), false)
	if refused != nil {
		t.Fatal(refused)
	}
	defer full.Close()
	at := full.Addr().String()
	holder := handStart(t, "connect", at, "--timeout", "1m", "--count", "2")
	holder.next(t, "connected")
	late := handStart(t, "connect", at, "--timeout", "100ms")
	if code := late.end(t); code != exitFailure || !strings.Contains(late.stderr.String(), "connect to "+at+": ETIMEDOUT: no answer came in time") {
		t.Errorf("it ended with %d and said %q", code, &late.stderr)
	}
	if code := holder.interrupt(t); code != 0 {
		t.Errorf("ctrl-C in a connect ended with %d: %s", code, &holder.stderr)
	}
}

// TestHandLost: a connection that the other end closes did not end as asked.
func TestHandLost(t *testing.T) {
	server, at := handListening(t, "127.0.0.1:0")
	client := handStart(t, "connect", at, "--interval", "10ms")
	client.next(t, "echo")
	if code := server.interrupt(t); code != 0 {
		t.Errorf("ctrl-C ended listen with %d: %s", code, &server.stderr)
	}
	if code := client.end(t); code != exitFailure || !strings.Contains(client.stderr.String(), "1 of 1 connection lost") {
		t.Errorf("connect ended with %d: %s", code, &client.stderr)
	}
}

func TestHandWrongUse(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"listen", "listen takes one ADDRESS:PORT"},
		{"listen :1 :2", "not 2 arguments"},
		{"listen 8080", "is no ADDRESS:PORT"},
		{"listen ::1:80", "is no ADDRESS:PORT"},
		{"listen :65536", "is not a number from 0 to 65535"},
		{"listen :0 --backlog -4", "--backlog -4"},
		{"listen 127.0.0.1:0 --v6only", "--v6only is for an IPv6 address"},
		{"connect", "connect takes one ADDRESS:PORT"},
		{"connect :80", "connect needs an address"},
		{"connect 127.0.0.1:0", "connect needs an address and a port that is not 0"},
		{"connect 127.0.0.1:80 --count 0", "--count 0"},
		{"connect 127.0.0.1:80 --messages -1", "--messages -1"},
		{"connect 127.0.0.1:80 --interval 0s", "--interval 0s"},
		{"connect 127.0.0.1:80 --timeout -1s", "--timeout -1s"},
		{"connect 127.0.0.1:80 --local-port-range 5-4", "give LOW-HIGH"},
		{"connect 127.0.0.1:80 --local-port-range 40000", "give LOW-HIGH"},
		{"connect 127.0.0.1:80 --bind 5000", "is no ADDRESS:PORT"},
		{"connect 127.0.0.1:80 --bind [::1]:0", "IPv4 and IPv6 do not meet"},
		{"connect 127.0.0.1:80 --bind-address-no-port", "goes with --bind ADDRESS:0"},
		{"connect 127.0.0.1:80 --such", "flag provided but not defined"},
	} {
		cmd := brink(t, strings.Fields(c.args)...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(stderr.String(), c.says) ||
			strings.Count(stderr.String(), "\n") != 1 || stdout.Len() > 0 {
			t.Errorf("brink %s ended with %d and said %q, %q", c.args, code, &stderr, &stdout)
		}
	}
}

func handFreePort(t *testing.T) string {
	t.Helper()
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	return l.Addr().String()
}
