package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

// A player is this test binary as a program that runs into limits: in a process,
// a network namespace and a cgroup of its own.
//
//	player: lo up, prepare ─→ "ready" ─→ play, a line for each refusal ─→ "done" ─→ end
//	test:                     trace ─→ "go"                        end of trace ─→ EOF
//
// It lives until the trace has ended: nothing that brink looks up has gone by
// then, and nothing needs a sleep.
type player struct {
	cmd   *exec.Cmd
	stdin *os.File
	lines *bufio.Scanner
	netns int
	group string // its cgroup v2's path; empty where the hierarchy is not mounted
}

// plays are what a player may be asked for: prepare, before the trace begins, and
// what is to be seen.
var plays = map[string]struct{ prepare, play func(netip.Addr) error }{
	"refusals": {narrow, beRefusedEverything},
	"overflow": {nothing, overflowQueue},
	"failures": {nothing, failEveryWay},
	"refused":  {nothing, stormRefused},
	"no-port":  {takeOnlyPort, stormNoPort},
	"signals":  {nothing, stormRefusedWithSignals},
}

func startPlayer(t *testing.T, play, address string, env ...string) *player {
	t.Helper()
	p := &player{cmd: exec.Command(must[string](t)(os.Executable()))}
	p.cmd.Env = append(os.Environ(), append(env, "BRINK_TEST_PLAY="+play, "BRINK_TEST_AT="+address)...)
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	p.joinCgroup(t)
	stdin, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdin, p.stdin = stdin, theirs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	t.Cleanup(p.end)
	for _, line := range p.until(t, "ready") {
		p.netns = must[int](t)(strconv.Atoi(line))
	}
	return p
}

// joinCgroup gives the player a cgroup of its own, if there is a hierarchy.
func (p *player) joinCgroup(t *testing.T) {
	root := cgroupDirectory("/")
	if root == "/" {
		t.Log("no cgroup v2 hierarchy is mounted")
		return
	}
	dir, err := os.MkdirTemp(root, "brink-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after end: the cleanups run backwards
		for range 100 {
			if err = os.Remove(dir); err == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Error(err)
	})
	handle := must[*os.File](t)(os.Open(dir))
	t.Cleanup(func() { handle.Close() })
	p.group = "/" + filepath.Base(dir)
	p.cmd.SysProcAttr.UseCgroupFD, p.cmd.SysProcAttr.CgroupFD = true, int(handle.Fd())
}

func (p *player) pid() int { return p.cmd.Process.Pid }

// until reads lines as far as the one that is awaited, which is left out.
func (p *player) until(t *testing.T, last string) (lines []string) {
	t.Helper()
	for p.lines.Scan() {
		if p.lines.Text() == last {
			return lines
		}
		lines = append(lines, p.lines.Text())
	}
	t.Fatalf("the player ended before %q and after %q: %v", last, lines, p.cmd.Wait())
	return nil
}

// begin has the player play; it says what it did until "done".
func (p *player) begin(t *testing.T) {
	t.Helper()
	must[int](t)(p.stdin.WriteString("go\n"))
}

func (p *player) end() {
	p.stdin.Close()
	_ = p.cmd.Wait()
}

// playIfAsked is called by TestMain.
func playIfAsked() {
	name := os.Getenv("BRINK_TEST_PLAY")
	if name == "" {
		return
	}
	if err := perform(name); err != nil {
		fmt.Fprintf(os.Stderr, "player %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func perform(name string) error {
	switch name {
	case "holder":
		return hold(netip.MustParseAddrPort(os.Getenv("BRINK_TEST_AT")))
	case "crowd":
		return crowd()
	}
	play, ok := plays[name]
	if !ok {
		return errors.New("there is no such play")
	}
	at := netip.MustParseAddr(os.Getenv("BRINK_TEST_AT"))
	if err := lab.LoopbackUp(); err != nil {
		return err
	}
	if err := play.prepare(at); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	var self unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &self); err != nil {
		return err
	}
	fmt.Println(self.Ino)
	fmt.Println("ready")
	awaitStdin()
	if err := play.play(at); err != nil {
		return err
	}
	fmt.Println("done")
	awaitStdin()
	return nil
}

// awaitStdin returns when there is something to read, or the end.
func awaitStdin() {
	_, _ = unix.Read(0, make([]byte, 8))
}

func nothing(netip.Addr) error { return nil }

func setSysctls(values map[string]string) error {
	for name, value := range values {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}

func await(what string, happened func() (bool, error)) error {
	for range 1000 {
		if ok, err := happened(); ok || err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("waited in vain for %s", what)
}

func socketFor(transport string, at netip.Addr) (int, error) {
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	if at.Is6() {
		family = unix.AF_INET6
	}
	if transport == "udp" {
		kind = unix.SOCK_DGRAM
	}
	return unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
}

func boundSocket(transport string, at netip.AddrPort) (int, error) {
	fd, err := socketFor(transport, at.Addr())
	if err != nil {
		return 0, err
	}
	return fd, unix.Bind(fd, sockaddrOf(at))
}

func listeningSocket(at netip.AddrPort, backlog int) (int, error) {
	fd, err := boundSocket("tcp", at)
	if err != nil {
		return 0, err
	}
	return fd, unix.Listen(fd, backlog)
}

// reset closes without TIME_WAIT: the port is free at once.
func reset(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(fd)
}

func sockaddrOf(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func localOf(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	return addressOf(sa), err
}

func addressOf(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
