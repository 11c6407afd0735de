package sockdiag

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// include/net/tcp_states.h
const (
	established = 1
	listening   = 10
)

func TestDumpFindsAListenerAndAConnection(t *testing.T) {
	for _, loopback := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(loopback, func(t *testing.T) {
			server, client := pair(t, loopback)
			sockets := dump(t, Query{})
			l := only(t, sockets, func(s Socket) bool { return s.Local == server && s.State == listening })
			equal(t, "listener's peer port", l.Peer.Port(), 0)
			equal(t, "listener's user", l.UID, uint32(os.Geteuid()))
			equal(t, "connections that wait", l.ReceiveQueue, 1) // nobody accepts
			if l.SendQueue == 0 {
				t.Error("the listener has no backlog")
			}
			c := only(t, sockets, func(s Socket) bool { return s.Local == client })
			equal(t, "client's state", c.State, established)
			equal(t, "client's peer", c.Peer, server)
			a := only(t, sockets, func(s Socket) bool { return s.Local == server && s.Peer == client })
			equal(t, "accepted end's inode", a.Inode, 0) // it has no file yet
			if l.Cookie == 0 || c.Cookie == 0 || l.Cookie == c.Cookie || l.Inode == c.Inode {
				t.Errorf("not told apart: %+v, %+v", l, c)
			}
			again := only(t, dump(t, Query{}), func(s Socket) bool { return s.Local == client })
			equal(t, "cookie, asked for again", again.Cookie, c.Cookie)
		})
	}
}

// An IPv6 socket that speaks IPv4 is told with its IPv4 addresses.
func TestDumpUnmapsIPv4(t *testing.T) {
	l := listen(t, "[::]:0")
	conn := connect(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), l.Port()))
	a := only(t, dump(t, Query{LocalPort: l.Port()}), func(s Socket) bool { return s.Peer == conn })
	equal(t, "local", a.Local.Addr(), netip.MustParseAddr("127.0.0.1"))
}

func TestQueryNarrowsInTheKernel(t *testing.T) {
	server, client := pair(t, "127.0.0.1:0")
	listen(t, "127.0.0.1:0") // another
	all := func(what string, q Query, want func(Socket) bool, number int) {
		t.Helper()
		sockets := dump(t, q)
		equal(t, what+": sockets", len(sockets), number)
		for _, s := range sockets {
			if !want(s) {
				t.Errorf("%s: got %+v", what, s)
			}
		}
	}
	all("local port", Query{LocalPort: server.Port()},
		func(s Socket) bool { return s.Local.Port() == server.Port() }, 2)
	all("peer port", Query{PeerPort: server.Port()},
		func(s Socket) bool { return s.Local == client }, 1)
	all("both ports", Query{LocalPort: server.Port(), PeerPort: client.Port()},
		func(s Socket) bool { return s.Local == server && s.Peer == client }, 1)
	all("state", Query{LocalPort: server.Port(), States: 1 << listening},
		func(s Socket) bool { return s.State == listening }, 1)
	all("another state", Query{LocalPort: server.Port(), States: 1 << boundInactive},
		func(Socket) bool { return false }, 0)
}

// A socket that is bound and nothing else holds its port; sock_diag lists it
// since 6.8 (91051f003948).
func TestDumpFindsABoundSocket(t *testing.T) {
	if release, old := olderThan(t, 6, 8); old {
		t.Skipf("Linux %s does not list sockets that are only bound: it takes 6.8", release)
	}
	port := bind(t)
	s := only(t, dump(t, Query{LocalPort: port}), func(Socket) bool { return true })
	equal(t, "state", s.State, boundInactive)
	equal(t, "local", s.Local, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
	equal(t, "owner", Owners(map[uint32]bool{s.Inode: true})[s.Inode].PID, uint32(os.Getpid()))
}

func TestOwners(t *testing.T) {
	server, client := pair(t, "127.0.0.1:0")
	sockets := dump(t, Query{})
	wanted := map[uint32]bool{^uint32(0): true} // nobody's
	for _, s := range sockets {
		if s.Local == client || s.Local == server && s.State == listening {
			wanted[s.Inode] = true
		}
	}
	owners := Owners(wanted)
	equal(t, "owners", len(owners), 2)
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	for inode, process := range owners {
		equal(t, fmt.Sprint("owner of ", inode), process,
			Process{PID: uint32(os.Getpid()), Name: strings.TrimSpace(string(name)), FD: process.FD})
		link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", process.FD))
		equal(t, fmt.Sprint("descriptor of ", inode, ": ", err), link, fmt.Sprintf("socket:[%d]", inode))
	}
	equal(t, "owners of nothing", len(Owners(nil)), 0)
}

func TestSocketInode(t *testing.T) {
	for target, want := range map[string]uint32{
		"socket:[4242]": 4242, "socket:[]": 0, "socket:[99999999999]": 0, "pipe:[4242]": 0, "/tmp/socket:[1]": 0,
	} {
		link := t.TempDir() + "/fd"
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		inode, ok := SocketInode(link)
		equal(t, target+": is a socket", ok, want != 0)
		if ok {
			equal(t, target, inode, want)
		}
	}
	if _, ok := SocketInode("/no/such/link"); ok {
		t.Error("a link that is not there is a socket")
	}
}

// pair is a listener and a client that has connected to it.
func pair(t *testing.T, loopback string) (server, client netip.AddrPort) {
	t.Helper()
	server = listen(t, loopback)
	return server, connect(t, server)
}

func listen(t *testing.T, address string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func connect(t *testing.T, to netip.AddrPort) netip.AddrPort {
	t.Helper()
	conn, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().(*net.TCPAddr).AddrPort()
}

// bind binds a socket to a port of 127.0.0.1 and leaves it at that.
func bind(t *testing.T) uint16 {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(name.(*unix.SockaddrInet4).Port)
}

func dump(t *testing.T, q Query) []Socket {
	t.Helper()
	sockets, err := Dump(q)
	if err != nil {
		t.Fatal(err)
	}
	return sockets
}

func only(t *testing.T, sockets []Socket, want func(Socket) bool) Socket {
	t.Helper()
	found := slices.DeleteFunc(slices.Clone(sockets), func(s Socket) bool { return !want(s) })
	if len(found) != 1 {
		t.Fatalf("%d sockets, want one: %+v", len(found), found)
	}
	return found[0]
}

func olderThan(t *testing.T, major, minor int) (release string, older bool) {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	release = unix.ByteSliceToString(name.Release[:])
	var a, b int
	if _, err := fmt.Sscanf(release, "%d.%d", &a, &b); err != nil {
		t.Fatalf("%q: %v", release, err)
	}
	return release, a < major || a == major && b < minor
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
