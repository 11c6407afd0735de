package metrics

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"brink/collector"

	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sys/unix"
)

// residence is who lives in a network namespace.
type residence struct {
	pid    int    // the first of its processes; 0 none
	kept   string // the file that keeps it without any
	isHost bool
}

// residences are those of all network namespaces, by inode number. The process
// with the lowest number is mostly the one that the others come from: a pod's
// sandbox, a container's init.
func residences() map[uint32]residence {
	found := map[uint32]residence{}
	for _, pid := range pids() {
		netns, ok := inode(proc(pid, "ns/net"))
		if r := found[netns]; ok && r.pid == 0 {
			found[netns] = residence{pid: pid}
		}
	}
	for _, pattern := range []string{"/run/netns/*", "/run/docker/netns/*"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			if netns, ok := inode(path); ok {
				r := found[netns]
				r.kept = path
				found[netns] = r
			}
		}
	}
	markHost(found)
	return found
}

// markHost: the first process's namespace is the host's. Where that cannot be
// seen, brink's own is taken for it.
func markHost(found map[uint32]residence) {
	host, ok := inode("/proc/1/ns/net")
	if !ok {
		host, ok = inode("/proc/thread-self/ns/net")
	}
	if r, there := found[host]; ok && there {
		r.isHost = true
		found[host] = r
	}
}

func pids() (list []int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			list = append(list, pid)
		}
	}
	slices.Sort(list)
	return list
}

func proc(pid int, file string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), file)
}

func inode(path string) (uint32, bool) {
	var stat syscall.Stat_t
	err := syscall.Stat(path, &stat)
	return uint32(stat.Ino), err == nil
}

// startOf is when a process began; zero if it is gone. Field 22 of /proc/PID/stat
// counts from the boot in ticks of 10 ms (USER_HZ, on every architecture that
// brink runs on).
func startOf(pid int) (start time.Time) {
	content, err := os.ReadFile(proc(pid, "stat"))
	if err != nil {
		return start
	}
	rest := string(content[bytes.LastIndexByte(content, ')')+1:]) // the name before may have spaces
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return start
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	var boot unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return start
	}
	return time.Now().Add(time.Duration(ticks)*10*time.Millisecond - time.Duration(boot.Nano()))
}

// describe lists the attributes of the namespace.
func (r residence) describe(netns uint32) []attribute.KeyValue {
	list := []attribute.KeyValue{attribute.Int64(collector.KeyNetns, int64(netns))}
	if r.isHost {
		return slices.Clip(append(list, attribute.String(keyNetnsName, "host")))
	}
	cgroup := r.cgroup()
	if name := r.name(cgroup); name != "" {
		list = append(list, attribute.String(keyNetnsName, name))
	}
	return slices.Clip(append(list, placeAttributes(cgroup)...))
}

// keyNetnsName is a namespace's name for people.
const keyNetnsName = "brink.netns.name"

// shortID is how much of a container's ID is its name.
const shortID = 12

func (r residence) name(cgroup string) string {
	place := collector.PlaceOf(cgroup)
	pod := collector.PodOf(place.PodUID)
	switch {
	case pod.Name != "":
		return pod.Namespace + "/" + pod.Name
	case place.PodUID != "":
		return "pod " + place.PodUID
	case place.ContainerID != "":
		return "container " + place.ContainerID[:shortID]
	case r.kept != "":
		return filepath.Base(r.kept)
	case place.Unit != "":
		return place.Unit
	}
	return r.process()
}

// cgroup is the first process's, or empty: of version 2, or else the deepest of
// version 1's.
func (r residence) cgroup() (deepest string) {
	content, err := os.ReadFile(proc(r.pid, "cgroup"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(content)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) == 3 && len(parts[2]) > len(deepest) {
			deepest = parts[2]
		}
	}
	return deepest
}

// process is the first process's comm.
func (r residence) process() string {
	comm, err := os.ReadFile(proc(r.pid, "comm"))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(comm), "\n")
}
