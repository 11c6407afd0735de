package sockdiag

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// what a socket of a test is made of.
type made struct {
	family, kind int
	options      Options
	local        unix.Sockaddr
}

func (m made) open(t *testing.T) (fd int, local netip.AddrPort) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatalf("%+v: %v", m, err)
		}
	}
	fd, err := unix.Socket(m.family, m.kind|unix.SOCK_CLOEXEC, 0)
	must(err)
	t.Cleanup(func() { unix.Close(fd) })
	if m.options.ReuseAddr {
		must(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	}
	if m.options.ReusePort {
		must(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	}
	if m.options.V6Only {
		must(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1))
	}
	if m.options.Device != 0 {
		must(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, int(m.options.Device)))
	}
	must(unix.Bind(fd, m.local))
	name, err := unix.Getsockname(fd)
	must(err)
	return fd, addrPort(name)
}

// loopback is lo's index in every namespace that has not been tampered with.
const loopback = 1

var (
	any4 = &unix.SockaddrInet4{}
	any6 = &unix.SockaddrInet6{}
)

// Each kind of socket, listening or bound or UDP, is asked for its options, and
// the copy of its descriptor is gone afterwards.
func TestOptionsOf(t *testing.T) {
	descriptors := openDescriptors(t)
	for _, m := range []made{
		{unix.AF_INET, unix.SOCK_STREAM, Options{}, any4},
		{unix.AF_INET, unix.SOCK_STREAM, Options{ReuseAddr: true}, any4},
		{unix.AF_INET, unix.SOCK_DGRAM, Options{ReusePort: true}, any4},
		{unix.AF_INET6, unix.SOCK_STREAM, Options{V6Only: true, Device: loopback}, any6},
		{unix.AF_INET6, unix.SOCK_DGRAM, Options{ReuseAddr: true, ReusePort: true}, any6},
	} {
		t.Run(fmt.Sprintf("%+v", m.options), func(t *testing.T) {
			fd, _ := m.open(t)
			own := Process{PID: uint32(os.Getpid()), FD: fd}
			got, err := OptionsOf(own, inodeOf(t, fd))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "options", got, m.options)
			if _, err := OptionsOf(own, inodeOf(t, fd)+1); !errors.Is(err, ErrOtherSocket) {
				t.Errorf("of another socket: %v", err)
			}
		})
	}
	equal(t, "descriptors", openDescriptors(t), descriptors)
	if _, err := OptionsOf(Process{PID: 1 << 30, FD: 3}, 1); err == nil {
		t.Error("a process that is not there has options")
	}
}

// Another process's socket is asked, too; without the right to trace it, its
// options stay unknown.
func TestOptionsOfAnotherProcess(t *testing.T) {
	needRoot(t)
	fd, _ := made{unix.AF_INET, unix.SOCK_STREAM, Options{ReusePort: true}, any4}.open(t)
	given, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(given), "socket")
	defer file.Close()
	child := exec.Command("sleep", "60")
	child.ExtraFiles = []*os.File{file} // descriptor 3
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Process.Kill(); child.Wait() })
	other, inode := Process{PID: uint32(child.Process.Pid), FD: 3}, inodeOf(t, fd)
	got, err := OptionsOf(other, inode)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "options", got, Options{ReusePort: true})
	refused := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: this thread alone is nobody
		unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534)
		_, err := OptionsOf(other, inode)
		refused <- err
	}()
	if err := <-refused; !errors.Is(err, unix.EPERM) {
		t.Errorf("without rights: %v", err)
	}
}

// The kernel tells IPV6_V6ONLY of listeners, bound and UDP sockets.
func TestDumpTellsV6Only(t *testing.T) {
	for _, only := range []bool{false, true} {
		fd, local := made{unix.AF_INET6, unix.SOCK_STREAM, Options{V6Only: only, Device: loopback}, any6}.open(t)
		if err := unix.Listen(fd, 1); err != nil {
			t.Fatal(err)
		}
		s := only1(t, Query{LocalPort: local.Port()})
		equal(t, "v6only", s.V6Only, only)
		equal(t, "known", s.V6OnlyKnown, true)
		equal(t, "interface", s.Interface, loopback)
	}
	listener := only1(t, Query{LocalPort: listen(t, "127.0.0.1:0").Port()})
	equal(t, "known of IPv4", listener.V6OnlyKnown, false)
}

// UDP sockets are bound or connected, and ports narrow the dump.
func TestDumpUDP(t *testing.T) {
	fd, local := made{unix.AF_INET6, unix.SOCK_DGRAM, Options{}, any6}.open(t)
	query := Query{Protocol: unix.IPPROTO_UDP, LocalPort: local.Port()}
	s := only1(t, query)
	equal(t, "state", s.State, closed)
	equal(t, "protocol", s.Protocol, unix.IPPROTO_UDP)
	equal(t, "local", s.Local, local)
	equal(t, "v6only is known", s.V6OnlyKnown, true)
	equal(t, "owner", Owners(map[uint32]bool{s.Inode: true})[s.Inode].FD, fd)
	if err := unix.Connect(fd, &unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16(), Port: 9}); err != nil {
		t.Fatal(err)
	}
	s = only1(t, query)
	equal(t, "state", s.State, established)
	equal(t, "peer", s.Peer, netip.MustParseAddrPort("[::1]:9"))
	for _, s := range dump(t, Query{LocalPort: local.Port()}) {
		if s.Inode == inodeOf(t, fd) {
			t.Error("it is among the TCP sockets")
		}
	}
}

// Bound finds what sock_diag lists since 6.8, and nothing else.
func TestBound(t *testing.T) {
	descriptors := openDescriptors(t)
	t.Run("sockets", func(t *testing.T) {
		options := Options{ReuseAddr: true, V6Only: true}
		fd, local := made{unix.AF_INET6, unix.SOCK_STREAM, options, any6}.open(t)
		made{unix.AF_INET, unix.SOCK_DGRAM, Options{}, any4}.open(t)
		server, client := pair(t, "127.0.0.1:0")
		held := bound(t, local.Port())
		if len(held) != 1 {
			t.Fatalf("%d sockets, want one: %+v", len(held), held)
		}
		name := comm(uint32(os.Getpid()))
		equal(t, "owner", held[0].Process, Process{PID: uint32(os.Getpid()), Name: name, FD: fd})
		equal(t, "options", held[0].Options, options)
		equal(t, "state", held[0].State, boundInactive)
		equal(t, "local", held[0].Local, local)
		equal(t, "user", held[0].UID, uint32(os.Geteuid()))
		equal(t, "inode", held[0].Inode, inodeOf(t, fd))
		for _, h := range bound(t, 0) {
			if h.Local == server || h.Local == client || h.Protocol != unix.IPPROTO_TCP {
				t.Errorf("it is not bound and nothing else: %+v", h)
			}
		}
		if err := unix.Listen(fd, 1); err != nil {
			t.Fatal(err)
		}
		equal(t, "sockets when it listens", len(bound(t, local.Port())), 0)
	})
	equal(t, "descriptors", openDescriptors(t), descriptors)
}

// A socket keeps the namespace that it was made in; the process lives here.
func TestBoundElsewhere(t *testing.T) {
	needRoot(t)
	port := make(chan uint16)
	done := make(chan struct{})
	defer close(done)
	go boundElsewhere(port, done)
	number := <-port
	if number == 0 {
		t.Fatal("no socket in a namespace of its own")
	}
	if held := bound(t, number); slices.ContainsFunc(held, func(h Held) bool { return h.PID == uint32(os.Getpid()) }) {
		t.Errorf("it is here, too: %+v", held)
	}
	if _, err := Bound("/proc/0/ns/net", 1); err == nil {
		t.Error("a namespace that is not there has sockets")
	}
}

func bound(t *testing.T, port uint16) []Held {
	t.Helper()
	held, err := Bound("", port)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

func only1(t *testing.T, q Query) Socket {
	t.Helper()
	return only(t, dump(t, q), func(Socket) bool { return true })
}

func inodeOf(t *testing.T, fd int) uint32 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		t.Fatal(err)
	}
	return uint32(stat.Ino)
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
