package lab

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// start forks a worker on the thread t. The worker reads its orders from
// control, which the caller still owns and closes.
func start(t *thread, control *os.File, flags uintptr) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	attr := &os.ProcAttr{
		Env:   append(os.Environ(), workerMark+"=1"),
		Files: []*os.File{null, null, os.Stderr, control},
		Sys:   attributes(flags),
	}
	var child *os.Process
	t.do(func() { child, err = os.StartProcess("/proc/self/exe", []string{workerName}, attr) })
	return child, err
}

// attributes asks for new namespaces by flags. The process group is its own so
// that ctrl-C reaches brink only, which then ends its workers in order.
func attributes(flags uintptr) *syscall.SysProcAttr {
	sys := &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if flags&unix.CLONE_NEWUSER != 0 {
		sys.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		sys.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return sys
}

// socketpair makes the two ends of a control connection: brink's, and the file
// that the worker inherits.
func socketpair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a control connection: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "control")
	mine, err := unixConn(os.NewFile(uintptr(fds[0]), "control"))
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return mine, theirs, nil
}

// unixConn takes file over.
func unixConn(file *os.File) (*net.UnixConn, error) {
	defer file.Close() // net.FileConn duplicates
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("control connection: %w", err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("control connection: descriptor %d is not a UNIX socket", controlFD)
	}
	return unixConn, nil
}
