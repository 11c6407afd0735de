package lab

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fillQuiet is for how long nothing more may fit before a socket counts as full:
// the peer's acknowledgements of what was written are under way until then.
const fillQuiet = 200 * time.Millisecond

func (in *inside) fill(s Sockets) (bytes int, err error) {
	sockets := in.sockets.open(s, false)
	data := make([]byte, 64<<10)
	for quiet := time.Now(); time.Since(quiet) < fillQuiet; time.Sleep(10 * time.Millisecond) {
		for _, to := range sockets {
			n, err := writeAll(to.fd, data)
			if err != nil {
				return bytes, err
			}
			if n > 0 {
				bytes, quiet = bytes+n, time.Now()
			}
		}
	}
	return bytes, nil
}

// writeAll writes the data again and again until no more fits.
func writeAll(fd int, data []byte) (bytes int, err error) {
	for {
		n, err := unix.Write(fd, data)
		switch err {
		case nil:
			bytes += n
		case syscall.EINTR:
		case syscall.EAGAIN:
			return bytes, nil
		default:
			return bytes, refused("write", netip.AddrPort{}, err)
		}
	}
}

// Indices into SO_MEMINFO's values, include/uapi/linux/sock_diag.h.
const (
	memReceive = 0
	memForward = 4
	memQueued  = 5
	memValues  = 9
)

func (in *inside) bufferMemory(none) (sum BufferMemory, err error) {
	var all []int
	for _, s := range in.sockets.open(in.sockets.all(), false) {
		all = append(all, s.fd)
	}
	for _, l := range in.acceptor.all() {
		all = append(all, l.open()...)
	}
	for _, fd := range all {
		var v [memValues]uint32
		size := uint32(unsafe.Sizeof(v))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			return sum, fmt.Errorf("read a socket's memory: %w", errno)
		}
		sum.Receive += int(v[memReceive])
		sum.Send += int(v[memQueued])
		sum.Forward += int(v[memForward])
	}
	return sum, nil
}

// open are the descriptors of the connections that it has accepted.
func (l *listener) open() (fds []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for fd := range l.held {
		fds = append(fds, fd)
	}
	return fds
}
