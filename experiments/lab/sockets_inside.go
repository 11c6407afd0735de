package lab

import (
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// sockets are the worker's sockets by handle: handle h is fds[h-1], -1 when
// closed. Handles are never used again.
type sockets struct {
	mu  sync.Mutex
	fds []int
}

// add gives new handles in a row.
func (s *sockets) add(fds ...int) Sockets {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := Handle(len(s.fds) + 1)
	s.fds = append(s.fds, fds...)
	return Sockets{First: first, Count: len(fds)}
}

func (s *sockets) fd(h Handle) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h < 1 || int(h) > len(s.fds) || s.fds[h-1] < 0 {
		return -1, fmt.Errorf("this worker has no open socket with handle %d", h)
	}
	return s.fds[h-1], nil
}

type openSocket struct {
	handle Handle
	fd     int
}

// open lists the run's sockets that are open; forget drops them.
func (s *sockets) open(run Sockets, forget bool) []openSocket {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []openSocket
	for h := max(run.First, 1); h < run.First+Handle(run.Count) && int(h) <= len(s.fds); h++ {
		if s.fds[h-1] < 0 {
			continue
		}
		open = append(open, openSocket{handle: h, fd: s.fds[h-1]})
		if forget {
			s.fds[h-1] = -1
		}
	}
	return open
}

func (s *sockets) all() Sockets {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Sockets{First: 1, Count: len(s.fds)}
}

func (in *inside) bind(o BindOptions) (Socket, error) {
	fd, refusal := boundSocket(o.Addr, o.SocketOptions)
	if refusal != nil {
		return Socket{}, refusal
	}
	return Socket{Handle: in.sockets.add(fd).First, Addr: localAddr(fd)}, nil
}

// boundSocket makes a socket of the address' family and binds it.
func boundSocket(addr netip.AddrPort, o SocketOptions) (int, *Refusal) {
	domain, to, refusal := sockaddr("bind", addr)
	if refusal != nil {
		return -1, refusal
	}
	fd, refusal := newSocket(domain, o)
	if refusal != nil {
		return -1, refusal
	}
	if err := unix.Bind(fd, to); err != nil {
		unix.Close(fd)
		return -1, refused("bind", addr, err)
	}
	return fd, nil
}

func (in *inside) openUntilRefused(none) (Until, error) {
	var fds []int
	for {
		fd, refusal := newSocket(unix.AF_INET, SocketOptions{})
		if refusal != nil {
			return Until{Sockets: in.sockets.add(fds...), Refusal: refusal}, nil
		}
		fds = append(fds, fd)
	}
}
