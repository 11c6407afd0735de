package main

import (
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

// ownHost says that this test may change limits of the whole host: in a guest
// that was made for it.
func ownHost() bool { return os.Getenv("BRINK_TEST_OWN_HOST") != "" }

// hostWide are the hooks whose limits count for the whole host, and so are
// pushed in guests alone.
var hostWide = []string{"file_table", "tcp_memory", "orphans", "conntrack_table"}

// exhaust pushes the limits that are not about one connection's own life.
func (s *scene) exhaust(t *testing.T) {
	s.overflowSYNQueue(t)
	s.takeUDPPorts(t)
	s.cloneTooMuch(t)
	s.exhaustNAT(t)
	if ownHost() {
		s.exhaustFiles(t)
		s.exhaustMemory(t)
		s.exhaustOrphans(t)
		s.fillConntrack(t)
	}
}

// overflowSYNQueue: with TCP_DEFER_ACCEPT a request stays one until its client
// says something, and nobody does.
func (s *scene) overflowSYNQueue(t *testing.T) {
	must[lab.Socket](t)(s.server.Listen(t.Context(), lab.ListenOptions{Addr: s.at(85), Backlog: 1, DeferAccept: 30 * time.Second}))
	must[lab.ConnectResult](t)(s.client.Connect(t.Context(), lab.ConnectOptions{
		To: []netip.AddrPort{s.at(85)}, Count: 5, Timeout: time.Second, KeepGoing: true,
	}))
}

// inLab runs f on a thread inside a lab's namespace, which ends with it.
func inLab(t *testing.T, l *lab.Lab, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread is spoiled
		ns, err := os.Open(l.NetnsPath())
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// takeUDPPorts binds a taken port, and takes ports until none is left.
func (s *scene) takeUDPPorts(t *testing.T) {
	family := unix.AF_INET
	if s.at(0).Addr().Is6() {
		family = unix.AF_INET6
	}
	inLab(t, s.lab, func() error {
		for _, port := range []uint16{53, 53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} {
			fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := unix.Bind(fd, sockaddrOf(s.at(port))); err != nil && err != unix.EADDRINUSE {
				return err
			}
		}
		return nil
	})
}

const nobody = 65534

// asNobody runs f on a thread of its own without root's exemptions. The other
// threads keep theirs: the raw system call changes one thread alone.
func asNobody(f func() error) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
		return errno
	}
	return f()
}

// cloneTooMuch makes a process of a user who may have none.
func (s *scene) cloneTooMuch(t *testing.T) {
	var before unix.Rlimit
	none := unix.Rlimit{}
	if err := unix.Prlimit(0, unix.RLIMIT_NPROC, nil, &before); err != nil {
		t.Fatal(err)
	}
	none.Max = before.Max
	if err := unix.Prlimit(0, unix.RLIMIT_NPROC, &none, nil); err != nil {
		t.Fatal(err)
	}
	defer unix.Prlimit(0, unix.RLIMIT_NPROC, &before, nil)
	inLab(t, s.lab, func() error {
		return asNobody(func() error {
			pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
			if errno == 0 && pid == 0 {
				unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
			return expect(errno, unix.EAGAIN)
		})
	})
}

func expect(errno, want syscall.Errno) error {
	if errno == want {
		return nil
	}
	return errno
}

// exhaustNAT connects through a pool of two ports.
func (s *scene) exhaustNAT(t *testing.T) {
	pool := lab.NAT{Protocol: unix.IPPROTO_TCP, Port: 86, To: s.at(0).Addr(), Low: 6000, High: 6001}
	if err := s.lab.SNAT(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	must[lab.Socket](t)(s.server.Listen(t.Context(), lab.ListenOptions{Addr: s.at(86), Accept: true}))
	r := must[lab.ConnectResult](t)(s.client.Connect(t.Context(), lab.ConnectOptions{
		To: []netip.AddrPort{s.at(86)}, Count: 3, Timeout: 300 * time.Millisecond,
	}))
	if r.Opened != 2 {
		t.Fatalf("a pool of two ports gave %d connections, %v", r.Opened, r.Errno)
	}
}

// setHost changes a setting of the whole host, and back at the test's end.
func setHost(t *testing.T, name, value string) (back func()) {
	t.Helper()
	path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	before := must[[]byte](t)(os.ReadFile(path))
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
	back = func() {
		if err := os.WriteFile(path, before, 0); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(back)
	return back
}

func (s *scene) exhaustFiles(t *testing.T) {
	defer setHost(t, "fs.file-max", "10")()
	inLab(t, s.lab, func() error {
		return asNobody(func() error {
			_, _, errno := unix.RawSyscall(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0)
			return expect(errno, unix.ENFILE)
		})
	})
}

// stuff opens connections to a server that does not read, and writes to them
// until no more fits.
func (s *scene) stuff(port uint16, n int) error {
	for range n {
		family := unix.AF_INET
		if s.at(0).Addr().Is6() {
			family = unix.AF_INET6
		}
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, sockaddrOf(s.at(port))); err != nil {
			return err
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}
		for buffer := make([]byte, 64<<10); ; {
			if _, err := unix.Write(fd, buffer); err != nil {
				break
			}
		}
	}
	time.Sleep(300 * time.Millisecond) // acknowledgements, and the kernel's count of orphans (5.16: ten times a second)
	return nil
}

func (s *scene) exhaustMemory(t *testing.T) {
	must[lab.Socket](t)(s.server.Listen(t.Context(), lab.ListenOptions{Addr: s.at(87)}))
	defer setHost(t, "net.ipv4.tcp_mem", "1 2 4")()
	inLab(t, s.lab, func() error { return s.stuff(87, 2) })
}

// exhaustOrphans closes connections with data that nobody reads, twice: the
// second time there are orphans already.
func (s *scene) exhaustOrphans(t *testing.T) {
	s.unbalanceMemory(t)
	must[lab.Socket](t)(s.server.Listen(t.Context(), lab.ListenOptions{Addr: s.at(88), Accept: true}))
	defer setHost(t, "net.ipv4.tcp_max_orphans", "1")()
	for range 2 {
		inLab(t, s.lab, func() error { return s.stuff(88, 3) })
		time.Sleep(300 * time.Millisecond)
	}
}

// fillConntrack lets no more entries in than there are.
func (s *scene) fillConntrack(t *testing.T) {
	must[lab.Socket](t)(s.server.Listen(t.Context(), lab.ListenOptions{Addr: s.at(89), Accept: true}))
	defer setHost(t, "net.netfilter.nf_conntrack_max", "1")()
	must[lab.ConnectResult](t)(s.client.Connect(t.Context(), lab.ConnectOptions{
		To: []netip.AddrPort{s.at(89)}, Count: 3, Timeout: 300 * time.Millisecond,
	}))
}
