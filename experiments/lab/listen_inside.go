package lab

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func (in *inside) listen(o ListenOptions) (Socket, error) {
	fd, refusal := boundSocket(o.Addr, o.SocketOptions)
	if refusal != nil {
		return Socket{}, refusal
	}
	if refusal := startListen(fd, o); refusal != nil {
		unix.Close(fd)
		return Socket{}, refusal
	}
	s := Socket{Handle: in.sockets.add(fd).First, Addr: localAddr(fd)}
	if err := in.acceptor.adopt(s.Handle, newListener(fd, o)); err != nil {
		in.closeSockets(closing{Sockets: s.Sockets()})
		return Socket{}, err
	}
	return s, nil
}

func (in *inside) listenBound(b listeningBound) (Socket, error) {
	fd, err := in.sockets.fd(b.Handle)
	if err != nil {
		return Socket{}, err
	}
	if refusal := startListen(fd, b.Options); refusal != nil {
		return Socket{}, refusal
	}
	return Socket{Handle: b.Handle, Addr: localAddr(fd)}, in.acceptor.adopt(b.Handle, newListener(fd, b.Options))
}

func startListen(fd int, o ListenOptions) *Refusal {
	if o.DeferAccept > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_DEFER_ACCEPT, wholeSeconds(o.DeferAccept)); err != nil {
			return refused("setsockopt", localAddr(fd), err)
		}
	}
	backlog := o.Backlog
	switch backlog {
	case 0:
		backlog = 1<<31 - 1 // inet_listen takes the smaller of this and somaxconn
	case NoBacklog:
		backlog = 0
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return refused("listen", localAddr(fd), err)
	}
	return nil
}

// wholeSeconds rounds up: 0 s would turn an option off.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func (in *inside) accepted(n naming) (Accepted, error) {
	l, err := in.acceptor.listener(n.Handle)
	if err != nil {
		return Accepted{}, err
	}
	return l.look(n.List), nil
}

func (in *inside) acceptN(a accepting) (AcceptResult, error) {
	l, err := in.acceptor.listener(a.Handle)
	if err != nil {
		return AcceptResult{}, err
	}
	if l.options.Accept {
		return AcceptResult{}, fmt.Errorf("accept by hand on listener %d: it accepts everything by itself (ListenOptions.Accept)", a.Handle)
	}
	if a.Options.Timeout == 0 {
		a.Options.Timeout = defaultPatience
	}
	return l.acceptN(a.Options), nil
}

func (l *listener) acceptN(o AcceptOptions) (result AcceptResult) {
	start := time.Now()
	defer func() { result.Elapsed = time.Since(start) }()
	pace := newPace(o.Every)
	for result.Accepted < o.Count {
		pace.wait()
		errno := l.acceptBefore(start.Add(o.Timeout))
		if errno == syscall.EAGAIN {
			break
		}
		if errno != 0 {
			result.Errno = errno
			break
		}
		result.Accepted++
	}
	return result
}

// acceptBefore accepts one connection, or says why not: EAGAIN when none came.
func (l *listener) acceptBefore(until time.Time) syscall.Errno {
	for {
		_, errno := l.acceptOne()
		if errno != syscall.EAGAIN && errno != syscall.EINTR {
			return errno
		}
		if !ready(l.listening(), unix.POLLIN, until) {
			return syscall.EAGAIN
		}
	}
}
