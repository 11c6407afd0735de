package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"brink/experiments/lab"
)

// whySaid is a diagnosis as --json tells it.
type whySaid struct {
	verdict  string
	findings []fact
}

func readWhy(t *testing.T, lines []byte) (s whySaid) {
	t.Helper()
	for line := range bytes.Lines(lines) {
		var f fact
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatalf("%v in line %s", err, line)
		}
		if !bytes.HasPrefix(line, []byte(`{"kind":`)) {
			t.Errorf("kind is not first in %s", line)
		}
		for key, value := range f {
			if value == nil || value == "" {
				t.Errorf("%s is empty in %s", key, line)
			}
		}
		switch f.string("kind") {
		case "diagnosis":
			s.verdict = f.string("verdict")
		case "finding":
			s.findings = append(s.findings, f)
		}
	}
	if s.verdict == "" || len(s.findings) == 0 {
		t.Fatalf("no diagnosis in %s", lines)
	}
	return s
}

// of are the findings of a kind.
func (s whySaid) of(kind string) (list []fact) {
	for _, f := range s.findings {
		if f.string("brink.finding") == kind {
			list = append(list, f)
		}
	}
	return list
}

func (s whySaid) one(t *testing.T, kind string, fields fact) fact {
	t.Helper()
	for _, f := range s.of(kind) {
		if f.has(fields) {
			return f
		}
	}
	t.Fatalf("no finding %s with %v: %v", kind, fields, s.findings)
	return nil
}

// whySnapshot asks why about a lab's namespace, from outside, without watching.
func whySnapshot(t *testing.T, l *lab.Lab, argument string) whySaid {
	t.Helper()
	cmd := brink(t, "why", "--json", "--duration", "0", "--netns", fmt.Sprint(l.Netns()), argument)
	cmd.Stderr = os.Stderr
	return readWhy(t, must[[]byte](t)(cmd.Output()))
}

// whyScene is a lab where port 8080 is in some way in use.
type whyScene struct {
	*lab.Lab
	server, client *lab.Worker
	at             netip.AddrPort
	wildcard       netip.AddrPort
}

func newWhyScene(t *testing.T, addr netip.Addr) *whyScene {
	t.Helper()
	needRoot(t)
	l := newLab(t)
	s := &whyScene{
		Lab: l, server: newWorker(t, l, lab.WorkerOptions{}), client: newWorker(t, l, lab.WorkerOptions{}),
		at: netip.AddrPortFrom(addr, 8080), wildcard: netip.AddrPortFrom(netip.IPv4Unspecified(), 8080),
	}
	if addr.Is6() {
		s.wildcard = netip.AddrPortFrom(netip.IPv6Unspecified(), 8080)
	}
	if err := l.SetSysctl(t.Context(), "net.ipv4.tcp_rfc1337", "1"); err != nil { // no reset ends a TIME_WAIT early
		t.Fatal(err)
	}
	return s
}

// whyAddresses are the two families' loopback.
var whyAddresses = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}

func forWhyScenes(t *testing.T, f func(*testing.T, *whyScene)) {
	for _, addr := range whyAddresses {
		t.Run(addr.String(), func(t *testing.T) { f(t, newWhyScene(t, addr)) })
	}
}

// listenUDPInside opens a socket in a lab; this process has it.
func listenUDPInside(t *testing.T, l *lab.Lab, at netip.AddrPort) io.Closer {
	t.Helper()
	var conn *net.UDPConn
	inLab(t, l, func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	})
	return conn
}

// whyWatching runs why until it watches, has something happen, and reads what it
// says in the end.
func whyWatching(t *testing.T, happen func(*exec.Cmd), args ...string) whySaid {
	t.Helper()
	cmd := brink(t, append([]string{"why", "--json"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout = &out
	stderr := must[io.ReadCloser](t)(cmd.StderrPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "watching for") {
			happen(cmd)
			continue
		}
		t.Log(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("why ended with %v", err)
	}
	return readWhy(t, out.Bytes())
}
