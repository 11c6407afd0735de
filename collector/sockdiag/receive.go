package sockdiag

import (
	"encoding/binary"
	"errors"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// datagram is as much as the kernel puts into one: it takes what it sees the
// reader has room for, up to this (netlink_recvmsg, max_recvmsg_len).
const datagram = 32 << 10

var errCutOff = errors.New("the kernel's answer is cut off")

// each asks and reads the answer. An older kernel's answer to a request that it
// does not know is an error before the first socket.
func (r request) each(conn *netlink.Conn, protocol uint8, visit func(*Socket)) error {
	if _, err := conn.Send(r.Message); err != nil {
		return err
	}
	a := answer{protocol: protocol, visit: visit}
	err := a.read(conn)
	if r.otherwise == nil || !isUnknown(err) {
		return err
	}
	for _, other := range r.otherwise {
		if err := other.each(conn, protocol, visit); err != nil {
			return err
		}
	}
	return nil
}

func isUnknown(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL)
}

// An answer is a dump on its way. It is read past the library, which copies it
// and makes a value of each message.
type answer struct {
	protocol uint8
	visit    func(*Socket)
	socket   Socket // lent, and reused
	done     bool
}

func (a *answer) read(conn *netlink.Conn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	b := make([]byte, datagram)
	for !a.done {
		n := 0
		waited := raw.Read(func(fd uintptr) bool {
			n, err = recv(int(fd), b)
			return err != syscall.EAGAIN
		})
		if err := errors.Join(waited, err); err != nil {
			return err
		}
		if err := a.take(b[:n]); err != nil {
			return err
		}
	}
	return nil
}

func recv(fd int, b []byte) (int, error) {
	for {
		n, _, flags, _, err := unix.Recvmsg(fd, b, nil, 0)
		if err == syscall.EINTR {
			continue
		}
		if err == nil && flags&unix.MSG_TRUNC != 0 {
			err = errCutOff
		}
		return n, err
	}
}

// take reads one datagram: a row of messages, each with its header (struct
// nlmsghdr) and padded.
func (a *answer) take(b []byte) error {
	for len(b) >= unix.SizeofNlMsghdr {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return errCutOff
		}
		if err := a.message(binary.NativeEndian.Uint16(b[4:]), b[unix.SizeofNlMsghdr:length]); err != nil || a.done {
			return err
		}
		b = b[min(len(b), (length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
	}
	return nil
}

func (a *answer) message(kind uint16, data []byte) error {
	switch kind {
	case unix.NLMSG_DONE:
		a.done = true
		return status(data)
	case unix.NLMSG_ERROR:
		a.done = true
		if len(data) < 4 {
			return errCutOff
		}
		return status(data)
	}
	if err := a.socket.parse(data, a.protocol); err == nil {
		a.visit(&a.socket)
	}
	return nil
}

// status is the negative errno at the start of a message that ends a dump.
func status(data []byte) error {
	if len(data) < 4 {
		return nil
	}
	if errno := int32(binary.NativeEndian.Uint32(data)); errno < 0 {
		return syscall.Errno(-errno)
	}
	return nil
}
