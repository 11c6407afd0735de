package limits

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// ownNetns is this thread's namespace; /proc/self would be the main thread's.
const ownNetns = "/proc/thread-self/ns/net"

// Inside calls f on a thread that is in the network namespace at path, such as
// /proc/PID/ns/net; to stay in its own takes no privilege. The thread comes back
// afterwards; one that cannot is left to die with its goroutine, so that no
// other goroutine ever runs in the wrong namespace.
func Inside(path string, f func() error) error {
	if isOwnNetns(path) {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- visit(path, f)
	}()
	return <-done
}

// visit unlocks the thread only once it is back home.
func visit(path string, f func() error) error {
	home, err := os.Open(ownNetns)
	if err != nil {
		return err
	}
	defer home.Close()
	target, err := os.Open(path)
	if err != nil {
		return err
	}
	defer target.Close()
	if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	err = f()
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

func isOwnNetns(path string) bool {
	own, err := netnsInode(ownNetns)
	if err != nil {
		return false
	}
	inode, err := netnsInode(path)
	return err == nil && inode == own
}

// OwnNetns is the inode number of this thread's network namespace, or 0.
func OwnNetns() uint32 {
	inode, _ := netnsInode(ownNetns)
	return inode
}

func netnsInode(path string) (uint32, error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return uint32(stat.Ino), nil
}
