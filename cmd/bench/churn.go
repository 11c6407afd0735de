package main

import (
	"fmt"
	"math/bits"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ways in which a load ends its connections.
const (
	timeWait = "time_wait" // the client closes first: a timewait socket stays
	reset    = "reset"     // SO_LINGER of 0: RST, and nothing stays
	refused  = "refused"   // nobody listens
)

// churn opens and closes connections, one after the other, on one thread. Both
// ends are here: on loopback a segment is handled by the thread that sends it,
// so that connect and accept return at once. System calls are raw, since the
// runtime's bookkeeping around a call that might block would be part of what
// is measured.
type churn struct {
	kind     string
	listener uintptr
	port     int
	to       unix.RawSockaddrInet4
	turn     uint32
}

// destinations of one port, 127.1.0.0 and on: each has a port range of its own,
// so that timewait sockets do not use the ports up.
const (
	destinations = 256
	serverPrefix = "127.1."
)

func newChurn(kind string) (*churn, error) {
	c := &churn{kind: kind}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	c.listener = uintptr(fd)
	c.port = name.(*unix.SockaddrInet4).Port
	c.to = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: bits.ReverseBytes16(uint16(c.port)), Addr: [4]byte{127, 1, 0, 0}}
	if kind == refused {
		return c, nil // bound and not listening: the port stays nobody else's
	}
	return c, os.NewSyscallError("listen", unix.Listen(fd, 128))
}

// run makes n connections, or, for n = 0, as many as fit into the time. An error
// other than the one expected ends it.
func (c *churn) run(n int, during time.Duration) (done int, err error) {
	step := c.closed
	if c.kind == refused {
		step = c.refused
	}
	end := time.Now().Add(during)
	for ; n == 0 || done < n; done++ {
		if n == 0 && done%256 == 0 && time.Now().After(end) {
			return done, nil
		}
		if err := step(); err != nil {
			return done, fmt.Errorf("connection %d: %w", done+1, err)
		}
	}
	return done, nil
}

func (c *churn) closed() error {
	client, err := c.connect()
	if err != 0 {
		return os.NewSyscallError("connect", err)
	}
	server, _, err := unix.RawSyscall6(unix.SYS_ACCEPT4, c.listener, 0, 0, unix.SOCK_CLOEXEC, 0, 0)
	if err != 0 {
		return os.NewSyscallError("accept4", err)
	}
	if c.kind == reset {
		linger := unix.Linger{Onoff: 1}
		_, _, err = unix.RawSyscall6(unix.SYS_SETSOCKOPT, client, unix.SOL_SOCKET, unix.SO_LINGER,
			uintptr(unsafe.Pointer(&linger)), unsafe.Sizeof(linger), 0)
		if err != 0 {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	unix.RawSyscall(unix.SYS_CLOSE, client, 0, 0)
	unix.RawSyscall(unix.SYS_CLOSE, server, 0, 0)
	return nil
}

func (c *churn) refused() error {
	client, err := c.connect()
	if err != unix.ECONNREFUSED {
		return fmt.Errorf("connect: got %v, want %v", err, unix.ECONNREFUSED)
	}
	unix.RawSyscall(unix.SYS_CLOSE, client, 0, 0)
	return nil
}

// connect opens a client's socket and connects it to the next destination.
func (c *churn) connect() (fd uintptr, err unix.Errno) {
	fd, _, err = unix.RawSyscall(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != 0 {
		return fd, err
	}
	c.turn = (c.turn + 1) % destinations
	c.to.Addr[2], c.to.Addr[3] = byte(c.turn>>8), byte(c.turn)
	_, _, err = unix.RawSyscall(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&c.to)), unsafe.Sizeof(c.to))
	return fd, err
}
