package collector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"brink/bpf"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

// TestConflictComesBackWithItsHolder refuses a bind to a port that this process
// holds and waits for the answer to come through the one goroutine.
func TestConflictComesBackWithItsHolder(t *testing.T) {
	held := listen(t, "127.0.0.1:0")
	for _, test := range []struct {
		asked string
		held  bool
	}{
		{"127.0.0.1", true},
		{"0.0.0.0", true},
		{"::", true},
		{"127.0.0.2", false},
	} {
		t.Run(test.asked, func(t *testing.T) {
			conflict := told(t, netip.AddrPortFrom(netip.MustParseAddr(test.asked), held.Port()))
			if !test.held {
				equal(t, "holders", len(conflict.Holders), 0)
				return
			}
			if len(conflict.Holders) != 1 {
				t.Fatalf("holders %v, want this process alone", conflict.Holders)
			}
			h := conflict.Holders[0]
			equal(t, "holder", h, Holder{
				PID: uint32(os.Getpid()), Name: ownName(t), UID: uint32(os.Geteuid()), State: Listen, Local: held,
			})
		})
	}
}

// told runs a collector on the one record that refuses the address.
func told(t *testing.T, asked netip.AddrPort) *BindConflict {
	t.Helper()
	source := newSource(refusal(limits.BindConflict, unix.EADDRINUSE, func(r *bpf.BrinkRefused) {
		r.Tuple = tupleOf(asked, netip.AddrPortFrom(asked.Addr(), 0))
		r.Netns, r.Owner.Pid = ownNetns(t), uint32(os.Getpid())
	}))
	k := &keeper{}
	c := New(source, nil, k)
	stop := running(c)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := errors.Join(c.Sync(ctx), stop()); err != nil {
		t.Fatal(err)
	}
	if len(k.facts) != 1 {
		t.Fatalf("%d facts, want one", len(k.facts))
	}
	return k.facts[0].(*BindConflict)
}

// A connection's peer is told of a holder; a listener has none.
func TestHolderOfAConnection(t *testing.T) {
	held := listen(t, "[::1]:0")
	conn, err := net.Dial("tcp", held.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	local := conn.LocalAddr().(*net.TCPAddr).AddrPort()
	holders := findHolders(&BindConflict{Local: local, Netns: ownNetns(t), Owner: Owner{PID: uint32(os.Getpid())}})
	if len(holders) != 1 {
		t.Fatalf("holders %v, want the connection alone", holders)
	}
	equal(t, "state", holders[0].State, Established)
	equal(t, "peer", holders[0].Peer, held)
}

// A socket that is bound and nothing else holds its port all the same; it is
// listed since 6.8.
func TestHolderThatIsOnlyBound(t *testing.T) {
	fd := tcpSocket(t)
	if err := unix.Bind(fd, sockaddr(netip.MustParseAddrPort("127.0.0.1:0"))); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	held := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*unix.SockaddrInet4).Port))
	holders := findHolders(&BindConflict{Local: held, Netns: ownNetns(t)})
	if len(holders) == 0 && olderThan(t, 6, 8) {
		t.Skip("this kernel does not list sockets that are only bound: it takes 6.8")
	}
	if len(holders) != 1 {
		t.Fatalf("holders %v, want this process alone", holders)
	}
	equal(t, "pid", holders[0].PID, uint32(os.Getpid()))
	equal(t, "state", holders[0].State.String(), "bound")
}

func olderThan(t *testing.T, major, minor int) bool {
	t.Helper()
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	var a, b int
	if _, err := fmt.Sscanf(string(release), "%d.%d", &a, &b); err != nil {
		t.Fatal(err)
	}
	return a < major || a == major && b < minor
}

// A namespace that has gone leaves a conflict without holders.
func TestNoHolderInAGoneNamespace(t *testing.T) {
	equal(t, "holders", len(findHolders(&BindConflict{Local: serverEnd, Netns: 1})), 0)
}

func TestPreexistingFindsThisProcess(t *testing.T) {
	held := listen(t, "127.0.0.1:0")
	known, err := Preexisting()
	if err != nil && os.Geteuid() == 0 {
		t.Fatal(err)
	}
	for _, k := range known {
		if k.Local == held && k.Netns == ownNetns(t) {
			equal(t, "state", k.State, Listen)
			equal(t, "pid", k.Owner.PID, uint32(os.Getpid()))
			equal(t, "name", k.Owner.Name(), ownName(t))
			equal(t, "has a cookie", k.Cookie != 0, true)
			return
		}
	}
	t.Errorf("%s is not among %d sockets", held, len(known))
}

func TestCgroupPath(t *testing.T) {
	equal(t, "no cgroup", CgroupPath(0), "")
	equal(t, "no such cgroup", CgroupPath(1<<63), "")
	root := CgroupRoot()
	if root == "" {
		t.Skip("the cgroup v2 hierarchy is not mounted")
	}
	for path, dir := range map[string]string{"/": root, ownCgroup(t): filepath.Join(root, ownCgroup(t))} {
		id, err := CgroupID(dir)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "path of "+dir, CgroupPath(id), path)
	}
	if _, err := CgroupID(root + "/no/such/cgroup"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
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

func ownNetns(t *testing.T) uint32 {
	t.Helper()
	info, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return uint32(info.Sys().(*syscall.Stat_t).Ino)
}

func ownName(t *testing.T) string {
	t.Helper()
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(name))
}

// ownCgroup is the line "0::/path" of the v2 hierarchy.
func ownCgroup(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path
		}
	}
	return "/"
}
