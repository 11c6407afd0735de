package collector

import (
	"context"
	"errors"
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
	"brink/collector/portrule"
	"brink/collector/sockdiag"

	"golang.org/x/sys/unix"
)

// TestConflictComesBackWithItsHolder refuses a bind to a port that this process
// holds and waits for the answer to come through the one goroutine.
func TestConflictComesBackWithItsHolder(t *testing.T) {
	held := listen(t, "127.0.0.1:0")
	for _, test := range []struct {
		asked string
		rule  portrule.Rule
	}{
		{"127.0.0.1", portrule.HolderListens},
		{"0.0.0.0", portrule.HolderListens},
		{"::", portrule.DualStack},
		{"127.0.0.2", portrule.NoRule},
	} {
		t.Run(test.asked, func(t *testing.T) {
			conflict := told(t, netip.AddrPortFrom(netip.MustParseAddr(test.asked), held.Port()))
			equal(t, "rule", conflict.Rule(), test.rule)
			if test.rule == portrule.NoRule {
				equal(t, "holders", len(conflict.Holders), 0)
				return
			}
			if len(conflict.Holders) != 1 {
				t.Fatalf("holders %v, want this process alone", conflict.Holders)
			}
			h := conflict.Holders[0]
			equal(t, "holder", h, Holder{
				PID: uint32(os.Getpid()), Name: ownName(t), UID: uint32(os.Geteuid()), State: Listen, Local: held,
				Options: SocketOptions{ReuseAddr: true}, Rule: test.rule, // net.Listen sets it
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

// A namespace that has gone leaves a conflict without holders.
func TestNoHolderInAGoneNamespace(t *testing.T) {
	equal(t, "holders", len(findHolders(&BindConflict{Local: serverEnd, Netns: 1}, new(sockdiag.Finder))), 0)
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
