package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"brink/collector/sockdiag"

	"golang.org/x/sys/unix"
)

// Namespaces maps each network namespace that can be visited to a path to it:
// those that a process lives in, and those that `ip netns` or Docker keeps.
func Namespaces() map[uint32]string {
	found := sockdiag.Namespaces()
	for _, pattern := range []string{"/run/netns/*", "/run/docker/netns/*"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			info, err := os.Stat(path)
			if err != nil {
				continue
			}
			if inode := uint32(info.Sys().(*syscall.Stat_t).Ino); found[inode] == "" {
				found[inode] = path
			}
		}
	}
	return found
}

// visit goes into each of the namespaces in turn and calls do there. Nothing is
// kept open: an open namespace would stay alive. One that has gone since the
// list was made is left out.
func visit(namespaces map[uint32]string, do func(netns uint32)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends here, in a strange namespace
		for netns, path := range namespaces {
			if moveTo(netns, path) == nil {
				do(netns)
			}
		}
	}()
	<-done
}

// moveTo moves the calling thread. By the time it looks, the path may be another
// namespace's.
func moveTo(netns uint32, path string) error {
	namespace, err := os.Open(path)
	if err != nil {
		return err
	}
	defer namespace.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(namespace.Fd()), &stat); err != nil {
		return err
	}
	if uint32(stat.Ino) != netns {
		return fmt.Errorf("%s is namespace %d, no longer %d", path, stat.Ino, netns)
	}
	return unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
}

// cookie is the namespace's number that is never given again (SO_NETNS_COOKIE,
// 5.14), where the inode number of one that went is given to the next at once.
// 0 before 5.14.
func cookie() uint64 {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	n, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0
	}
	return n
}
