package collector

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// cgroups remembers the path of each cgroup id, found by walking the cgroup v2
// hierarchy once whenever an unknown id turns up (and at most that often: an id
// that is still unknown after a walk is remembered as such).
var cgroups = struct {
	sync.Mutex
	paths map[uint64]string
}{paths: map[uint64]string{}}

// CgroupPath is the path of a cgroup below its hierarchy's root ("/" for the
// root), or empty when the id is not known. The id is what
// bpf_get_current_cgroup_id gives: the file handle of the cgroup's directory.
func CgroupPath(id uint64) string {
	if id == 0 {
		return ""
	}
	cgroups.Lock()
	defer cgroups.Unlock()
	path, seen := cgroups.paths[id]
	if seen {
		return path
	}
	walkCgroups(cgroups.paths)
	path = cgroups.paths[id]
	cgroups.paths[id] = path
	return path
}

func walkCgroups(paths map[uint64]string) {
	root := CgroupRoot()
	if root == "" {
		return
	}
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // a cgroup that went away meanwhile
		}
		if id, err := CgroupID(path); err == nil {
			paths[id] = "/" + strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
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
