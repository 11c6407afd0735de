package sockdiag

import (
	"fmt"
	"iter"
	"os"

	"golang.org/x/sys/unix"
)

// ownNetns is this process's namespace, seen from the calling thread: another
// one, the main thread that /proc/self shows among them, may be in a namespace
// that Dump asks right now.
const ownNetns = "/proc/thread-self/ns/net"

// NetnsPath finds a path to the network namespace with the given inode number,
// by way of a process that lives in it. The hint, a pid or 0, is tried first.
// Empty if no process is left there.
func NetnsPath(netns uint32, hint uint32) string {
	if path := fmt.Sprintf("/proc/%d/ns/net", hint); hint != 0 && isNetns(path, netns) {
		return path
	}
	if isNetns(ownNetns, netns) {
		return ownNetns
	}
	for path := range netnsPaths() {
		if isNetns(path, netns) {
			return path
		}
	}
	return ""
}

// Namespaces maps each network namespace that has a process to a path to it.
func Namespaces() map[uint32]string {
	found := map[uint32]string{}
	note := func(path string) {
		if inode, err := netnsInode(path); err == nil {
			found[inode] = path
		}
	}
	for path := range netnsPaths() {
		note(path)
	}
	note(ownNetns)
	return found
}

// netnsPaths are those of all processes, of which some may end meanwhile.
func netnsPaths() iter.Seq[string] {
	return func(yield func(string) bool) {
		proc, err := os.Open("/proc")
		if err != nil {
			return
		}
		defer proc.Close()
		names, _ := proc.Readdirnames(-1)
		for _, name := range names {
			if isNumber := name[0] >= '0' && name[0] <= '9'; isNumber && !yield("/proc/"+name+"/ns/net") {
				return
			}
		}
	}
}

// isOwnNetns spares setns(2), which takes root even to stay where one is.
func isOwnNetns(path string) bool {
	own, err := netnsInode(ownNetns)
	return err == nil && isNetns(path, own)
}

func isNetns(path string, netns uint32) bool {
	inode, err := netnsInode(path)
	return err == nil && inode == netns
}

func netnsInode(path string) (uint32, error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return uint32(stat.Ino), nil
}
