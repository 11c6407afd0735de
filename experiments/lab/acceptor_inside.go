package lab

import (
	"fmt"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// The acceptor serves every listener of a worker from one epoll instance and
// one goroutine: tens of thousands of connections cost no goroutine each.
// Descriptors are its keys; it is edge-triggered for listeners, so a listener
// whose accept4() fails with EMFILE waits for the next connection, or for
// revive, instead of spinning.
type acceptor struct {
	mu        sync.Mutex // guards what follows
	epoll     int        // -1 until the first listener with Accept
	listeners map[Handle]*listener
	byFD      map[int]*listener // the listeners with Accept, and the connections watched for them
}

// adopt makes the listening socket with this handle known.
func (a *acceptor) adopt(h Handle, l *listener) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.listeners == nil {
		a.listeners, a.byFD = map[Handle]*listener{}, map[int]*listener{}
	}
	a.listeners[h] = l
	if !l.options.Accept {
		return nil
	}
	if err := a.start(); err != nil {
		return fmt.Errorf("accept in the background: %w", err)
	}
	a.byFD[l.fd] = l
	return a.watch(unix.EPOLL_CTL_ADD, l.fd, unix.EPOLLIN|unix.EPOLLET)
}

func (a *acceptor) start() error {
	if a.epoll >= 0 {
		return nil
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	a.epoll = epoll
	go a.run(epoll)
	return nil
}

func (a *acceptor) watch(operation, fd int, events uint32) error {
	return unix.EpollCtl(a.epoll, operation, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (a *acceptor) listener(h Handle) (*listener, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.listeners[h]
	if l == nil {
		return nil, fmt.Errorf("this worker has no listener with handle %d", h)
	}
	return l, nil
}

func (a *acceptor) all() []*listener {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []*listener
	for _, l := range a.listeners {
		all = append(all, l)
	}
	return all
}

// stop forgets a listening socket about to be closed.
func (a *acceptor) stop(h Handle, fd int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.listeners[h]; l != nil {
		l.stop()
		delete(a.byFD, fd)
	}
}

// revive has every background listener look at its queue again, after
// descriptors became free: EPOLL_CTL_MOD reports an event that is there already.
func (a *acceptor) revive() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.listeners {
		if fd := l.listening(); l.options.Accept && fd >= 0 {
			a.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN|unix.EPOLLET)
		}
	}
}

func (a *acceptor) run(epoll int) {
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(epoll, events, -1)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			panic("lab: epoll_wait: " + err.Error()) // a broken worker: its end is seen, its silence would not be
		}
		for _, event := range events[:n] {
			a.handle(int(event.Fd), epoll)
		}
	}
}

func (a *acceptor) handle(fd, epoll int) {
	a.mu.Lock()
	l := a.byFD[fd]
	a.mu.Unlock()
	switch {
	case l == nil: // closed since
	case l.listening() == fd:
		a.acceptFrom(l)
	default:
		l.serve(fd, epoll)
	}
}

func (a *acceptor) acceptFrom(l *listener) {
	for {
		fd, errno := l.acceptOne()
		switch {
		case errno == syscall.EINTR, errno == syscall.ECONNABORTED: // the next may be well
		case errno != 0:
			return
		case l.options.Echo || l.options.CloseOnEOF:
			if err := a.attend(l, fd); err != nil {
				l.drop(fd, err)
			}
		}
	}
}

// attend watches an accepted connection. Its entry in byFD outlives it, until
// the descriptor is watched again: serve asks the listener whether it still
// holds it.
func (a *acceptor) attend(l *listener, fd int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.byFD[fd] = l
	return a.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN|unix.EPOLLRDHUP)
}
