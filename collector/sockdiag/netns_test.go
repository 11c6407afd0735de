package sockdiag

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The main thread stays where it is: a test that moved it to another namespace
// would move what /proc/self shows, for all tests after it.
func init() { runtime.LockOSThread() }

func TestOwnNamespace(t *testing.T) {
	own, err := netnsInode(ownNetns)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "by the hint", NetnsPath(own, uint32(os.Getpid())), fmt.Sprintf("/proc/%d/ns/net", os.Getpid()))
	equal(t, "without one", NetnsPath(own, 0), ownNetns)
	equal(t, "a namespace that is not there", NetnsPath(1, uint32(os.Getpid())), "")
	if Namespaces()[own] == "" {
		t.Error("it is not among the namespaces")
	}
}

// To name one's own namespace takes no privilege: no setns(2) is made.
func TestDumpOfOwnNamespaceByPath(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	only(t, dump(t, Query{NetnsPath: ownNetns, LocalPort: l.Port()}), func(Socket) bool { return true })
}

func TestDumpOfNoNamespace(t *testing.T) {
	if _, err := Dump(Query{NetnsPath: "/proc/0/ns/net"}); err == nil {
		t.Error("no error")
	}
}

// A listener in a namespace of another thread is found there and only there.
func TestDumpInAnotherNamespace(t *testing.T) {
	needRoot(t)
	path, port := make(chan string), make(chan uint16)
	done := make(chan struct{})
	defer close(done)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread goes with its namespace
		p, n := listenElsewhere()
		path <- p
		port <- n
		<-done
	}()
	there := <-path
	if there == "" {
		t.Fatal("no listener in a namespace of its own")
	}
	number := <-port
	s := only(t, dump(t, Query{NetnsPath: there, LocalPort: number}), func(Socket) bool { return true })
	equal(t, "state", s.State, listening)
	equal(t, "local", s.Local, netip.AddrPortFrom(netip.IPv4Unspecified(), number))
	equal(t, "sockets in all", len(dump(t, Query{NetnsPath: there})), 1)
	for _, s := range dump(t, Query{LocalPort: number, States: 1 << listening}) {
		if owner := Owners(map[uint32]bool{s.Inode: true})[s.Inode]; owner.PID == uint32(os.Getpid()) {
			t.Errorf("it is here, too: %+v", s)
		}
	}
}

// listenElsewhere moves the thread into a new namespace and listens there on
// any address: lo is down. The path is empty if it cannot.
func listenElsewhere() (path string, port uint16) {
	if unix.Unshare(unix.CLONE_NEWNET) != nil {
		return "", 0
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil || unix.Listen(fd, 1) != nil { // listen chooses the port
		return "", 0
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return "", 0
	}
	path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
	return path, uint16(name.(*unix.SockaddrInet4).Port)
}

// boundElsewhere is bound in a namespace of its own until done; port 0 says that
// it could not.
func boundElsewhere(port chan<- uint16, done <-chan struct{}) {
	runtime.LockOSThread() // and never unlocked: the thread goes with its namespace
	if unix.Unshare(unix.CLONE_NEWNET) != nil {
		port <- 0
		return
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil || unix.Bind(fd, &unix.SockaddrInet4{}) != nil {
		port <- 0
		return
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		port <- 0
		return
	}
	port <- addrPort(name).Port()
	<-done
	unix.Close(fd)
}

// A namespace is found by a process that lives in it, and not found any more
// when that has gone.
func TestNamespaceOfAnotherProcess(t *testing.T) {
	needRoot(t)
	child := exec.Command("sleep", "60")
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() { child.Process.Kill(); child.Wait() }
	t.Cleanup(end)
	path := fmt.Sprintf("/proc/%d/ns/net", child.Process.Pid)
	inode, err := netnsInode(path)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "without a hint", NetnsPath(inode, 0), path)
	equal(t, "with a wrong one", NetnsPath(inode, uint32(os.Getpid())), path)
	equal(t, "among all", Namespaces()[inode], path)
	equal(t, "sockets", len(dump(t, Query{NetnsPath: path})), 0)
	end()
	equal(t, "after its end", NetnsPath(inode, 0), "")
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("it takes root to enter another network namespace")
	}
}
