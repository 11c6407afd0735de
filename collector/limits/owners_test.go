package limits

import (
	"fmt"
	"os"
	"testing"

	"brink/collector/sockdiag"

	"golang.org/x/sys/unix"
)

// A listener is found at a low number and at a high one, also of a process with
// few descriptors; one that nobody has is not.
func TestOwnersOfDescriptors(t *testing.T) {
	fd, inode := listenerAtDescriptor(t)
	defer func() { unix.Close(fd) }()
	const nobodys = 1<<32 - 2
	for _, number := range []int{fd, lowDescriptors - 1, lowDescriptors, 900} {
		if number != fd {
			if err := unix.Dup3(fd, number, unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			unix.Close(fd)
			fd = number
		}
		found := Owners(map[uint32]bool{inode: true, nobodys: true})
		equal(t, fmt.Sprint("at ", number), found[inode].PID, uint32(os.Getpid()))
		equal(t, "nobody's", found[nobodys], sockdiag.Process{})
	}
}

func listenerAtDescriptor(t *testing.T) (fd int, inode uint32) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 1); err != nil { // which binds it as well
		t.Fatal(err)
	}
	inode, ok := sockdiag.SocketInode(fmt.Sprintf("/proc/self/fd/%d", fd))
	if !ok {
		t.Fatal("the listener's link is none of a socket")
	}
	return fd, inode
}
