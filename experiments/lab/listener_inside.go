package lab

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A listener is a listening socket and what it has accepted.
type listener struct {
	options ListenOptions

	mu     sync.Mutex // guards what follows
	fd     int        // -1 when closed; what it accepted stays
	count  int
	errnos map[syscall.Errno]int
	held   map[int]int // descriptor of an open accepted connection → its place in the order
}

func newListener(fd int, o ListenOptions) *listener {
	return &listener{options: o, fd: fd, errnos: map[syscall.Errno]int{}, held: map[int]int{}}
}

// acceptOne is one accept4(): a connection's descriptor, or why not.
func (l *listener) acceptOne() (int, syscall.Errno) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return -1, syscall.EBADF
	}
	fd, _, err := unix.Accept4(l.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		errno, _ := err.(syscall.Errno)
		if errno != syscall.EAGAIN && errno != syscall.EINTR {
			l.errnos[errno]++
		}
		return -1, errno
	}
	l.held[fd] = l.count
	l.count++
	if l.options.Greet {
		greet(fd)
	}
	return fd, 0
}

func (l *listener) listening() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fd
}

// stop takes the listening socket out; the caller closes it.
func (l *listener) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fd = -1
}

// drop closes an accepted connection that cannot be served, and keeps the reason.
func (l *listener) drop(fd int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	errno, _ := err.(syscall.Errno)
	l.errnos[errno]++
	delete(l.held, fd)
	unix.Close(fd)
}

func (l *listener) closeAll(how How) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.held)
	for fd := range l.held {
		how.end(fd)
	}
	if how != ShutdownWrite {
		clear(l.held)
	}
	return n
}

func (l *listener) look(list bool) Accepted {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := Accepted{Count: l.count, Open: len(l.held), Errnos: maps.Clone(l.errnos)}
	if !list {
		return a
	}
	inOrder := slices.SortedFunc(maps.Keys(l.held), func(a, b int) int { return cmp.Compare(l.held[a], l.held[b]) })
	for _, fd := range inOrder {
		a.Connections = append(a.Connections, Connection{Local: onWire(localAddr(fd)), Peer: onWire(peerAddr(fd))})
	}
	return a
}
