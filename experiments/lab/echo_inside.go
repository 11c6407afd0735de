package lab

import (
	"time"

	"golang.org/x/sys/unix"
)

// echoAll leaves out a connection that cannot be written on: nobody answers it.
func (in *inside) echoAll(o EchoOptions) (answered int, err error) {
	if o.Timeout == 0 {
		o.Timeout = defaultPatience
	}
	var waiting []unix.PollFd
	for _, s := range in.sockets.open(o.Sockets, false) {
		if _, err := unix.Write(s.fd, []byte{'!'}); err == nil {
			waiting = append(waiting, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
		}
	}
	if o.Want == 0 {
		o.Want = o.Sockets.Count
	}
	for until := time.Now().Add(o.Timeout); answered < o.Want && len(waiting) > 0 && time.Now().Before(until); {
		if _, err := unix.Poll(waiting, 100); err != nil && err != unix.EINTR {
			return answered, err
		}
		var n int
		n, waiting = answers(waiting)
		answered += n
	}
	return answered, nil
}

// answers counts the connections on which the byte has come back, and gives
// those on which it still may.
func answers(waiting []unix.PollFd) (n int, still []unix.PollFd) {
	one := make([]byte, 1)
	for _, p := range waiting {
		if p.Revents == 0 {
			still = append(still, p)
			continue
		}
		switch got, err := unix.Read(int(p.Fd), one); {
		case err == unix.EAGAIN || err == unix.EINTR:
			still = append(still, p)
		case err == nil && got == 1 && one[0] == '!':
			n++
		}
	}
	return n, still
}
