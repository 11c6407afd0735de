package metrics

import (
	"os"
	"slices"
	"testing"
	"time"
)

// This process's own namespace is found, by a process that lives in it.
func TestResidences(t *testing.T) {
	own, ok := inode("/proc/thread-self/ns/net")
	if !ok {
		t.Skip("left out: /proc does not say in which namespace this is")
	}
	r, there := residences()[own]
	equal(t, "there", there, true)
	if theirs, _ := inode(proc(r.pid, "ns/net")); theirs != own {
		t.Errorf("process %d lives in %d, not in %d", r.pid, theirs, own)
	}
}

func TestName(t *testing.T) {
	t.Setenv("BRINK_POD_LOGS", t.TempDir())
	const id = "3f4e8c1a9b7d6e5f4c3b2a190807f6e5d4c3b2a19f8e7d6c5b4a39281706f5e4"
	self := residence{pid: os.Getpid()}
	kept := residence{pid: os.Getpid(), kept: "/run/netns/blue"}
	equal(t, "container", kept.name("/docker/"+id), "container 3f4e8c1a9b7d")
	equal(t, "pod", self.name("/kubepods/pod0e9b8f4b-5f0c-4c7e-9d53-0a8f5a1f2c3d/"+id), "pod 0e9b8f4b-5f0c-4c7e-9d53-0a8f5a1f2c3d")
	equal(t, "kept", kept.name("/"), "blue")
	equal(t, "unit", self.name("/system.slice/nginx.service"), "nginx.service")
	equal(t, "process", self.name("/"), self.process())
	equal(t, "gone", residence{}.name(""), "")
}

// A namespace that is gone is remembered for a while, and then given up; what was
// asked for and never seen, too.
func TestNamespacesAreForgotten(t *testing.T) {
	var n Namespaces
	own, _ := inode("/proc/thread-self/ns/net")
	began := time.Now()
	n.of(1)
	equal(t, "gone", len(n.Look(began)), 0)
	gone := n.Look(began.Add(absence + time.Minute))
	equal(t, "never seen", slices.Contains(gone, 1), true)
	equal(t, "own", slices.Contains(gone, own), false)
	equal(t, "again", len(n.Look(began.Add(absence+time.Minute))), 0)
}

// The attributes of a namespace stay the same list: whoever appends to it must
// not change another's.
func TestAttributesAreNotShared(t *testing.T) {
	var n Namespaces
	one := append(n.of(7), familyAttribute(0))
	two := append(n.of(7), familyAttribute(10))
	equal(t, "one", one[len(one)-1], familyAttribute(0))
	equal(t, "two", two[len(two)-1], familyAttribute(10))
}

// A number that another namespace has got since the last look: what is known of
// the first one is given up.
func TestNamespacesSucceeded(t *testing.T) {
	began := startOf(os.Getpid())
	if age := time.Since(began); age < 0 || age > time.Hour {
		t.Fatalf("this process began %s ago", age)
	}
	newer := residence{pid: os.Getpid()}
	before := namespace{first: 1, seen: began.Add(-time.Second)}
	equal(t, "all processes are newer", before.succeeded(newer), true)
	after := namespace{first: 1, seen: began.Add(time.Second)}
	equal(t, "the first process went, others stay", after.succeeded(newer), false)
	same := namespace{first: os.Getpid(), seen: before.seen}
	equal(t, "the same process", same.succeeded(newer), false)
	equal(t, "kept by a file", before.succeeded(residence{pid: os.Getpid(), kept: "/run/netns/blue"}), false)
	equal(t, "nobody lives there", before.succeeded(residence{kept: "/run/netns/blue"}), false)
}
