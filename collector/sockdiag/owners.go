package sockdiag

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is who has a socket open.
type Process struct {
	PID  uint32
	Name string // comm
	FD   int    // its descriptor of the socket, one of them
}

// Owners finds, by one walk over /proc/*/fd, which process has each of the
// given socket inodes open. A socket shared by several processes is given to
// the lowest pid. Inodes that nobody has open, or that this user may not see,
// are absent.
func Owners(inodes map[uint32]bool) map[uint32]Process {
	owners := make(map[uint32]Process, len(inodes))
	if len(inodes) == 0 {
		return owners
	}
	directories, _ := filepath.Glob("/proc/[0-9]*/fd")
	for _, dir := range directories {
		pid, err := strconv.ParseUint(strings.Split(dir, "/")[2], 10, 32)
		if err == nil {
			addOwned(owners, inodes, dir, uint32(pid))
		}
	}
	return owners
}

func addOwned(owners map[uint32]Process, inodes map[uint32]bool, dir string, pid uint32) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // it ended meanwhile, or is not ours to see
	}
	for _, e := range entries {
		inode, ok := socketInode(filepath.Join(dir, e.Name()))
		if !ok || !inodes[inode] {
			continue
		}
		if known, ok := owners[inode]; !ok || pid < known.PID {
			fd, _ := strconv.Atoi(e.Name())
			owners[inode] = Process{PID: pid, Name: comm(pid), FD: fd}
		}
	}
}

// socketInode reads a link of the form socket:[123].
func socketInode(path string) (uint32, bool) {
	target, err := os.Readlink(path)
	if err != nil {
		return 0, false
	}
	number, ok := strings.CutPrefix(target, "socket:[")
	if !ok {
		return 0, false
	}
	inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32)
	return uint32(inode), err == nil
}

func comm(pid uint32) string {
	name, _ := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/comm")
	return strings.TrimSuffix(string(name), "\n")
}
