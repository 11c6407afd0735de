package limits

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// The reader against the kernel, in this process's own namespace, which takes
// no privilege: a listener with one connection waiting, and a descriptor count
// that /proc/self/fd confirms.
func TestReaderSeesThisProcess(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := l.Addr().(*net.TCPAddr).AddrPort()
	var reader Reader
	find(t, reader.Read(), AcceptQueue, func(r *Reading) bool { return r.Local == at && r.Used == 0 })
	c, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	time.Sleep(50 * time.Millisecond) // rates need some time between

	s := reader.Read()
	waiting := find(t, s, AcceptQueue, func(r *Reading) bool { return r.Local == at })
	equal(t, "waiting", waiting.Used, 1)
	equal(t, "its owner", waiting.PID, uint32(os.Getpid()))
	if !waiting.Rated || waiting.Rate <= 0 {
		t.Errorf("the queue has grown, but %+v", waiting)
	}
	equal(t, "namespace", waiting.Netns, OwnNetns())
	for _, limit := range []Limit{FileTable, FileDescriptors, TimeWaitBuckets, SYNQueue, Threads, EphemeralPorts} {
		find(t, s, limit, func(*Reading) bool { return true })
	}
	for _, r := range s.Readings {
		if r.Limit.String() == "" || r.Knob == "" || r.Source == "" {
			t.Errorf("a reading does not say what it is: %+v", r)
		}
	}
	for i := 1; i < len(s.Readings); i++ {
		if s.Readings[i].Utilisation() > s.Readings[i-1].Utilisation() {
			t.Errorf("reading %d is worse than the one before", i)
		}
	}
}

func TestDescriptors(t *testing.T) {
	self := uint32(os.Getpid())
	before, err := Descriptors(self)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	after, err := Descriptors(self)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "three files later", after.Used, before.Used+3)
	if after.Max == 0 || after.Limit != FileDescriptors || after.PID != self {
		t.Errorf("%+v", after)
	}
	if _, err := Descriptors(1 << 30); err == nil {
		t.Error("a process that is not there has descriptors")
	}
}

// Before 6.2 the directory's size says nothing, and
// the entries are counted.
func TestCountDescriptorsByEntries(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"0", "1", "2"} {
		if err := os.WriteFile(dir+"/"+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n, err := entries(dir)
	if err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := countDescriptors(dir + "/no-such"); err == nil {
		t.Error("no error")
	}
}

func TestReadPortsOfOwnNamespace(t *testing.T) {
	p, err := ReadPorts("")
	if err != nil {
		t.Fatal(err)
	}
	if u := p.Held(netip.MustParseAddr("127.0.0.1")); u.Max != p.Range.Size() || u.Max == 0 {
		t.Errorf("%+v of %d", u, p.Range.Size())
	}
	if _, err := ReadPorts("/proc/0/ns/net"); err == nil {
		t.Error("a namespace that is not there has ports")
	}
}

func find(t *testing.T, s Snapshot, limit Limit, wanted func(*Reading) bool) *Reading {
	t.Helper()
	for i := range s.Readings {
		if r := &s.Readings[i]; r.Limit == limit && wanted(r) {
			return r
		}
	}
	t.Fatalf("no such reading of %s among %+v", limit, s.Readings)
	return nil
}

// Both ways of asking the kernel tell of a client and of a listener; connections
// are counted by state only if that is asked for.
func TestByStateAgrees(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, byState := range []bool{false, true} {
		n, err := look(OwnNetns(), ownNetns, boundOnly{})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.count(byState); err != nil {
			t.Fatal(err)
		}
		local := c.LocalAddr().(*net.TCPAddr).AddrPort()
		if held := n.ports.sources[local.Addr().As16()]; held == nil || !held.held.Has(local.Port()) {
			t.Errorf("by state %t: the client's port is not held", byState)
		}
		if !n.ports.locked.Has(l.Addr().(*net.TCPAddr).AddrPort().Port()) {
			t.Errorf("by state %t: the listener's port is not locked", byState)
		}
		equal(t, "connections are counted", len(n.connections) > 0, byState)
	}
}
