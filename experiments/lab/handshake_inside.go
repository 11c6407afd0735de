package lab

import (
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startConnect is connect(2) on a non-blocking socket: refusals that need no
// packet (EADDRNOTAVAIL, ENETUNREACH) come at once, the handshake goes on alone.
func startConnect(fd int, to netip.AddrPort) *Refusal {
	_, sa, refusal := sockaddr("connect", to)
	if refusal != nil {
		return refusal
	}
	err := unix.Connect(fd, sa)
	if err != nil && err != syscall.EINPROGRESS {
		return refused("connect", to, err)
	}
	return nil
}

// awaitConnect waits for the handshake: SO_ERROR has the errno that a blocking
// connect() would have returned. EINPROGRESS means that nobody answered in time.
func awaitConnect(fd int, to netip.AddrPort, until time.Time) *Refusal {
	if !ready(fd, unix.POLLOUT, until) {
		return &Refusal{Call: "connect", Address: to, Errno: syscall.EINPROGRESS}
	}
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return refused("connect", to, err)
	}
	if errno != 0 {
		return &Refusal{Call: "connect", Address: to, Errno: syscall.Errno(errno)}
	}
	return nil
}

// ready waits for one of the events (errors and hang-ups count as well). Past
// the time it still looks once.
func ready(fd int, events int16, until time.Time) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		left := max(time.Until(until), 0)
		n, err := unix.Poll(poll, int((left+time.Millisecond-1)/time.Millisecond))
		if err == syscall.EINTR { // the runtime's preemption signal
			continue
		}
		return err == nil && n > 0
	}
}

// A pace spreads repeated calls evenly, without drift.
type pace struct {
	next  time.Time
	every time.Duration
}

func newPace(every time.Duration) *pace { return &pace{next: time.Now(), every: every} }

func (p *pace) wait() {
	if p.every > 0 {
		time.Sleep(time.Until(p.next))
		p.next = p.next.Add(p.every)
	}
}
