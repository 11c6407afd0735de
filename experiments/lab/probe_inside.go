package lab

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// probe sends every byte before it waits for the first outcome: they arrive in
// the order of the run.
func (in *inside) probe(p probing) (map[syscall.Errno]int, error) {
	if p.Timeout == 0 {
		p.Timeout = defaultPatience
	}
	outcomes, until := map[syscall.Errno]int{}, time.Now().Add(p.Timeout)
	var sent []int
	for _, s := range in.sockets.open(p.Sockets, false) {
		if _, err := unix.Write(s.fd, []byte{'?'}); err != nil {
			outcomes[refused("write", peerAddr(s.fd), err).Errno]++
			continue
		}
		sent = append(sent, s.fd)
	}
	for _, fd := range sent {
		outcomes[awaitAcknowledged(fd, until)]++
	}
	return outcomes, nil
}

// awaitAcknowledged says what became of the data sent on fd. No event of
// poll(2) tells of an acknowledgement, so it looks again and again.
func awaitAcknowledged(fd int, until time.Time) syscall.Errno {
	for {
		late := time.Now().After(until)
		if errno := acknowledged(fd); errno != syscall.EINPROGRESS || late {
			return errno
		}
		time.Sleep(time.Millisecond)
	}
}

// acknowledged looks at SO_ERROR last: a reset notes its errno before it
// empties the send queue (tcp_reset), so an empty queue without one is
// acknowledged.
func acknowledged(fd int) syscall.Errno {
	unacknowledged, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return refused("ioctl", peerAddr(fd), err).Errno
	}
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return refused("getsockopt", peerAddr(fd), err).Errno
	case errno != 0:
		return syscall.Errno(errno)
	case unacknowledged > 0:
		return syscall.EINPROGRESS
	}
	return 0
}
