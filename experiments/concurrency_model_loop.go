package experiments

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// loop is one thread for all connections, with epoll.
type loop struct {
	acceptor
	epoll int
}

func newLoop(at netip.AddrPort) (connectionModel, error) {
	a, err := newAcceptor(at, unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, err
	}
	l := &loop{acceptor: a}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	go l.run() // for as long as the worker lives
	return l, nil
}

func (l *loop) serve() error {
	fd := l.last()
	err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	return os.NewSyscallError("epoll_ctl", err)
}

func (l *loop) run() {
	events, message := make([]unix.EpollEvent, 256), make([]byte, 64)
	for {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return
		}
		for _, e := range events[:max(n, 0)] {
			l.answer(int(e.Fd), message)
		}
	}
}

func (l *loop) answer(fd int, message []byte) {
	n, err := unix.Read(fd, message)
	switch {
	case err == nil && n > 0:
		unix.Write(fd, message[:n])
	case err != unix.EAGAIN && err != unix.EINTR:
		unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil) // else its end is reported for ever
	}
}
