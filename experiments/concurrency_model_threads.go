package experiments

import (
	"errors"
	"net/netip"
	"os"
	"time"

	"brink/experiments/lab/osthread"

	"golang.org/x/sys/unix"
)

// threads: accept() blocks no one, and each connection's own thread blocks in
// read().
type threads struct {
	acceptor
	stack int
}

func newThreads(at netip.AddrPort) (connectionModel, error) {
	a, err := newAcceptor(at, 0)
	return &threads{acceptor: a, stack: osthread.DefaultStackSize()}, err
}

func (t *threads) serve() error {
	stack, err := osthread.NewStack(t.stack)
	if err != nil {
		return err
	}
	return osthread.Echo(t.last(), stack) // the stack goes with the process
}

// close wakes the threads first: as long as one reads, close() leaves its
// connection open.
func (t *threads) close() error {
	for _, fd := range t.held {
		unix.Shutdown(fd, unix.SHUT_RD) // ENOTCONN: the client has reset it, and the thread knows
	}
	return t.acceptor.close()
}

// acceptor takes connections by accept4(2), for the two models without Go's
// network poller.
type acceptor struct {
	fd    int
	flags int // accept4's
	held  []int
}

func newAcceptor(at netip.AddrPort, flags int) (a acceptor, err error) {
	a.flags = flags | unix.SOCK_CLOEXEC
	if a.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return a, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(a.fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		return a, os.NewSyscallError("bind", err)
	}
	return a, os.NewSyscallError("listen", unix.Listen(a.fd, 1<<15)) // somaxconn caps it
}

// accept waits first, so that what it is refused is not for want of a connection.
func (a *acceptor) accept() error {
	if !awaitInput(a.fd, modelPatience) {
		return errNoConnection
	}
	fd, _, err := unix.Accept4(a.fd, a.flags)
	if err != nil {
		return os.NewSyscallError("accept4", err)
	}
	a.held = append(a.held, fd)
	return nil
}

var errNoConnection = errors.New("no connection came")

func awaitInput(fd int, patience time.Duration) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for until := time.Now().Add(patience); time.Now().Before(until); {
		if n, _ := unix.Poll(poll, 100); n > 0 {
			return true
		}
	}
	return false
}

func (a *acceptor) last() int { return a.held[len(a.held)-1] }

// close resets, so that no TIME_WAIT remains.
func (a *acceptor) close() (err error) {
	for _, fd := range a.held {
		err = errors.Join(err, unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}), unix.Close(fd))
	}
	a.held = nil
	return err
}

func (a *acceptor) stop() error { return unix.Close(a.fd) }
