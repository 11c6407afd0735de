package collector

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups remembers the path of each cgroup id, found by walking the cgroup v2
// hierarchy when an unknown id turns up.
var cgroups = struct {
	sync.Mutex
	known  map[uint64]cgroup
	walked time.Time
	took   time.Duration
}{known: map[uint64]cgroup{}}

type cgroup struct {
	path  string
	place Place
}

const (
	// mostCgroups bounds what is remembered; a host has some hundreds at a time.
	mostCgroups = 1 << 14
	// cgroupWalks is the part of the time that walks may take: containers that
	// come and go in a second would have a walk each.
	cgroupWalks = 20
)

// CgroupPath is the path of a cgroup below its hierarchy's root ("/" for the
// root), or empty when the id is not known, or not yet. The id is what
// bpf_get_current_cgroup_id gives: the file handle of the cgroup's directory.
func CgroupPath(id uint64) string { return cgroupOf(id).path }

func cgroupOf(id uint64) cgroup {
	if id == 0 {
		return cgroup{}
	}
	cgroups.Lock()
	defer cgroups.Unlock()
	c, seen := cgroups.known[id]
	if seen || time.Since(cgroups.walked) < cgroupWalks*cgroups.took {
		return c
	}
	if len(cgroups.known) > mostCgroups {
		clear(cgroups.known)
	}
	began := time.Now()
	walkCgroups(cgroups.known)
	cgroups.walked, cgroups.took = time.Now(), time.Since(began)
	c = cgroups.known[id]
	cgroups.known[id] = c // if it is not found, it is not looked for again
	return c
}

// ForgetNames has the names of cgroups and pods read anew.
func ForgetNames() {
	cgroups.Lock()
	clear(cgroups.known)
	cgroups.Unlock()
	forgetPods()
}

func walkCgroups(known map[uint64]cgroup) {
	root := CgroupRoot()
	if root == "" {
		return
	}
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // a cgroup that went away meanwhile
		}
		if id, err := CgroupID(path); err == nil {
			below := "/" + strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
			known[id] = cgroup{below, PlaceOf(below)}
		}
		return nil
	})
}

// CgroupID is the id of the cgroup v2 directory at path: the inode in its file
// handle (kernfs, 64 bits since 5.5).
func CgroupID(path string) (uint64, error) {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		return 0, &os.PathError{Op: "read cgroup id of", Path: path, Err: err}
	}
	return binary.NativeEndian.Uint64(handle.Bytes()), nil
}

// CgroupOf is the id of the cgroup v2 that a process is in now, or 0.
func CgroupOf(pid uint32) uint64 {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/cgroup")
	root := CgroupRoot()
	if err != nil || root == "" {
		return 0
	}
	for line := range strings.Lines(string(content)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			id, _ := CgroupID(root + strings.TrimSuffix(path, "\n"))
			return id
		}
	}
	return 0
}

// CgroupRoot is where the cgroup v2 hierarchy is mounted, or empty.
func CgroupRoot() string {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1]
		}
	}
	return ""
}
