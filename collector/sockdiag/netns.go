package sockdiag

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
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
	paths, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range paths {
		if isNetns(path, netns) {
			return path
		}
	}
	return ""
}

// Namespaces maps each network namespace that has a process to a path to it.
func Namespaces() map[uint32]string {
	found := map[uint32]string{}
	paths, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range append(paths, ownNetns) {
		if inode, err := netnsInode(path); err == nil {
			found[inode] = path
		}
	}
	return found
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
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return uint32(info.Sys().(*syscall.Stat_t).Ino), nil
}
