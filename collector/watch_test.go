package collector

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

// The main thread stays where it is: a test that moved it to another namespace
// would move what /proc/self shows, for all tests after it.
func init() { runtime.LockOSThread() }

// TestWatch overflows a queue of one in a namespace of its own and looks
// before, after, and once more.
func TestWatch(t *testing.T) {
	path := ownNamespace(t)
	held := shortQueue(t)
	k := &keeper{}
	c := New(newSource(), nil, k)
	stop := running(c)
	watch := NewWatch(limits.AcceptQueue, limits.SYNQueue)
	look := func() {
		watch.Look(t.Context(), map[uint32]string{7: path}, c)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := c.Sync(ctx); err != nil {
			t.Fatal(err)
		}
	}
	look()
	equal(t, "before", k.kinds(), "")
	for range 3 {
		connect(t, held)
	}
	look()
	look()
	watch = NewWatch(limits.AcceptQueue, limits.SYNQueue) // to which all that has happened is the beginning
	look()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(k.facts) != 1 {
		t.Fatalf("%d facts, want one", len(k.facts))
	}
	hit := k.facts[0].(*LimitHit)
	equal(t, "limit", hit.Limit, limits.AcceptQueue)
	equal(t, "listener", hit.Local, held)
	equal(t, "used and max", fmt.Sprint(hit.Used, hit.Max), "1 1")
	equal(t, "netns", hit.Netns, 7)
	equal(t, "pid", hit.Owner.PID, uint32(os.Getpid()))
	if hit.Count < 2 { // a refused SYN may be sent again meanwhile
		t.Errorf("%d refusals, want two at least", hit.Count)
	}

	watch.Forget(nil)
	equal(t, "namespaces remembered", len(watch.seen), 0)
}

func TestWatchOfNoNamespace(t *testing.T) {
	w := NewWatch(limits.AcceptQueue, limits.ConntrackTable)
	equal(t, "counters", len(w.read("/proc/0/ns/net")), 0)
}

func TestParseNetstat(t *testing.T) {
	all := parseNetstat("TcpExt: A ListenOverflows B\nTcpExt: 1 22 x\nIpExt: ListenOverflows\nIpExt: 5\n")
	equal(t, "ListenOverflows", all[listenOverflows], 22)
	equal(t, "counters", len(all), 2)
	equal(t, "of nothing", len(parseNetstat("TcpExt:\n")), 0)
	equal(t, "with more values than names", len(parseNetstat("TcpExt: A\nTcpExt: 1 2\n")), 1)
}

func TestParseConntrackStat(t *testing.T) {
	content := "entries  searched drop early_drop\n00000005 00000000 0000000a 00000001\n00000005 00000000 00000006 00000000\n"
	sum, ok := parseConntrackStat(content, "drop")
	equal(t, "drop", sum, 16)
	equal(t, "is there", ok, true)
	for _, without := range []string{"", "entries searched\n1 2\n", "drop\n"} {
		if _, ok := parseConntrackStat(without, "drop"); ok {
			t.Errorf("%q has drops", without)
		}
	}
}

// ownNamespace moves this test into a network namespace of its own, where lo is
// up. Its thread stays locked and ends with the test, and the namespace with it.
func ownNamespace(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("it takes root to make a network namespace")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	raiseLoopback(t)
	return fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
}

func raiseLoopback(t *testing.T) {
	t.Helper()
	fd := tcpSocket(t)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatal(err)
	}
}

// shortQueue is a listener with backlog 0, where one connection fits.
func shortQueue(t *testing.T) netip.AddrPort {
	t.Helper()
	fd := tcpSocket(t)
	at := netip.MustParseAddrPort("127.0.0.1:4242")
	if err := unix.Bind(fd, sockaddr(at)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	return at
}

// connect sends a SYN and does not wait for the answer.
func connect(t *testing.T, to netip.AddrPort) {
	t.Helper()
	if err := unix.Connect(tcpSocket(t), sockaddr(to)); err != nil && err != unix.EINPROGRESS {
		t.Fatal(err)
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

func tcpSocket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}
