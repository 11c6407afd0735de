package limits

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const sockstatContent = `sockets: used 291
TCP: inuse 12 orphan 3 tw 45 alloc 60 mem 678
UDP: inuse 3 mem 256
UDPLITE: inuse 0
`

const statusContent = `Name:	nginx: worker
Umask:	0022
State:	S (sleeping)
Tgid:	812
Uid:	33	0	33	33
Gid:	33	33	33	33
Threads:	7
`

const limitsContent = `Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max processes             96365                96365                processes 
Max open files            1024                 unlimited            files     
Max locked memory         65536                65536                bytes     
`

const mountsContent = `proc /proc proc rw 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
short line
`

func TestParseSockstat(t *testing.T) {
	s, err := parseSockstat(sockstatContent)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "sockstat", s, Sockstat{TimeWait: 45, Orphans: 3, Memory: 678})
	for _, content := range []string{"", "TCP:", "TCP: inuse 1 orphan 2 tw 3", "TCP: orphan x tw 3 mem 4", "TCP6: orphan 1 tw 2 mem 3"} {
		if s, err := parseSockstat(content); err == nil {
			t.Errorf("%q is %+v", content, s)
		}
	}
}

func TestParseThreads(t *testing.T) {
	n, err := parseThreads("2.43 0.76 1.12 5/116 19945\n")
	if err != nil || n != 116 {
		t.Errorf("%d, %v", n, err)
	}
	for _, content := range []string{"", "1 2 3", "1 2 3 4/ 5", "1 2 3 4/-1 5"} {
		if n, err := parseThreads(content); err == nil {
			t.Errorf("%q has %d", content, n)
		}
	}
}

func TestParseStatusAndLimits(t *testing.T) {
	var p process
	if err := p.parseStatus(statusContent); err != nil {
		t.Fatal(err)
	}
	p.parseLimits(limitsContent)
	equal(t, "process", p, process{
		name: "nginx: worker", uid: 33, threads: 7,
		maxDescriptors: rlimit{1024, math.MaxUint64}, maxTasks: rlimit{96365, 96365},
	})
	for _, content := range []string{"", "Name:\tx\n", "Name:\tx\nUid:\t1\nThreads:\t1\n", "Name:\tx\nUid:\t1 1 1 1\nThreads:\t\n"} {
		if err := new(process).parseStatus(content); err == nil {
			t.Errorf("%q is a status", content)
		}
	}
}

func TestParseRlimit(t *testing.T) {
	for s, want := range map[string]rlimit{
		" 64 128 files": {64, 128}, " unlimited unlimited": {math.MaxUint64, math.MaxUint64},
		"": {}, " 1": {}, " x 1": {}, " 1 -1": {},
	} {
		l := parseRlimit(s)
		equal(t, s, l, want)
		equal(t, s+": is finite", l.finite(), want.soft == 64)
	}
}

func TestPIDsHierarchies(t *testing.T) {
	want := []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified"}
	if got := pidsHierarchies(mountsContent); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestCgroupReading(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "system.slice")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(path, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "without the files", len(cgroupReading(root, path)), 0)
	write("pids.max", "max\n")
	write("pids.current", "7\n")
	equal(t, "without bound", len(cgroupReading(root, path)), 0)
	write("pids.max", "10\n")
	list := cgroupReading(root, path)
	if len(list) != 1 || list[0].Used != 7 || list[0].Max != 10 || list[0].Cgroup != "/system.slice" || list[0].Limit != Threads {
		t.Errorf("%+v", list)
	}
}

// Root is exempt; of a user's processes the one with the smallest limit tells.
func TestUserReadings(t *testing.T) {
	list := userReadings([]process{
		{pid: 1, uid: 0, threads: 9, maxTasks: rlimit{10, 10}},
		{pid: 2, uid: 1000, threads: 3, maxTasks: rlimit{100, 200}, name: "a"},
		{pid: 3, uid: 1000, threads: 4, maxTasks: rlimit{50, 200}, name: "b"},
		{pid: 4, uid: 1001, threads: 4, maxTasks: rlimit{math.MaxUint64, math.MaxUint64}},
	})
	if len(list) != 1 {
		t.Fatalf("%+v", list)
	}
	equal(t, "reading", list[0], Reading{
		Limit: Threads, UID: 1000, Used: 7, Max: 50, Knob: "RLIMIT_NPROC = 50, hard limit 200",
		Source: "/proc/PID/status", Note: "the limit of b[3]",
	})
}

// The parsers take what they are given: /proc of another kernel, or half of it.
func FuzzProc(f *testing.F) {
	for _, seed := range []string{"", sockstatContent, statusContent, limitsContent, mountsContent,
		"2.43 0.76 1.12 5/116 19945\n", "541\t0\t2466170\n", "max\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		var p process
		if p.parseStatus(content) == nil && p.name == "" && p.threads == 0 && p.uid == 0 && content == "" {
			t.Error("nothing is a status")
		}
		p.parseLimits(content)
		if s, err := parseSockstat(content); err != nil && s != (Sockstat{}) {
			t.Errorf("%+v with %v", s, err)
		}
		if list, err := numbers(content, 3); err == nil && len(list) != 3 {
			t.Errorf("%d numbers of 3", len(list))
		}
		parseThreads(content)
		pidsHierarchies(content)
		parseRlimit(content)
	})
}
