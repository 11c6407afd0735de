package lab

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// serve reads what came on an accepted connection that the acceptor watches. It
// always reads, also without Echo: close() with data unread resets (tcp_close),
// which would keep the peer from TIME_WAIT.
func (l *listener) serve(fd, epoll int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, held := l.held[fd]; !held {
		return // closed since, and the descriptor may be another's
	}
	if !l.drain(fd) {
		return
	}
	if l.options.CloseOnEOF {
		delete(l.held, fd)
		unix.Close(fd)
		return
	}
	unix.EpollCtl(epoll, unix.EPOLL_CTL_DEL, fd, nil) // else its end is reported for ever
}

// drain says whether the peer has closed or reset the connection.
func (l *listener) drain(fd int) bool {
	buffer := make([]byte, 4096)
	for {
		n, err := unix.Read(fd, buffer)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return false
		case n <= 0:
			return true
		case l.options.Echo:
			unix.Write(fd, buffer[:n])
		}
	}
}
