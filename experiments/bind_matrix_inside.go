package experiments

import (
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

// matrixWanted is a socket to open, of the pair with this port.
type matrixWanted struct {
	Socket matrixSocket
	Port   uint16
}

// matrixAnswer is what the kernel said: at which step it refused, and with what.
type matrixAnswer struct {
	Refused matrixStep    `json:",omitempty"`
	Errno   syscall.Errno `json:",omitempty"`
}

func (a matrixAnswer) refused() bool { return a.Refused != granted }

// What workers do, for many pairs at a time.
var (
	openMatrix   = lab.DefineProgram("bind matrix: open", openAllOfMatrix)
	listenMatrix = lab.DefineProgram("bind matrix: listen", listenAllOfMatrix)
	leaveMatrix  = lab.DefineSocketProgram("bind matrix: leave", leaveMatrixBut)
)

// matrixOpen are the worker's sockets, each by its pair's port.
var matrixOpen = struct {
	sync.Mutex
	fds map[uint16]int
}{fds: map[uint16]int{}}

func openAllOfMatrix(all []matrixWanted) ([]matrixAnswer, error) {
	matrixOpen.Lock()
	defer matrixOpen.Unlock()
	answers := make([]matrixAnswer, len(all))
	for i, wanted := range all {
		fd, err := wanted.Socket.make()
		if err != nil {
			return nil, fmt.Errorf("make socket %+v: %w", wanted.Socket, err)
		}
		answers[i], err = wanted.take(fd)
		if err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("port %d for %+v: %w", wanted.Port, wanted.Socket, err)
		}
		if answers[i].refused() {
			unix.Close(fd)
			continue
		}
		matrixOpen.fds[wanted.Port] = fd
	}
	return answers, nil
}

// make is the socket with its options. It is closed by a reset, so that nothing
// of it remains.
func (s matrixSocket) make() (int, error) {
	domain := unix.AF_INET
	if s.Address.Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	for _, o := range []struct {
		on                 bool
		level, name, value int
	}{
		{true, unix.SOL_SOCKET, unix.SO_REUSEADDR, asNumber(s.ReuseAddr)},
		{true, unix.SOL_SOCKET, unix.SO_REUSEPORT, asNumber(s.ReusePort)},
		{domain == unix.AF_INET6, unix.SOL_IPV6, unix.IPV6_V6ONLY, asNumber(s.V6Only)},
		{s.Way == asClient, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1},
	} {
		if err == nil && o.on {
			err = unix.SetsockoptInt(fd, o.level, o.name, o.value)
		}
	}
	if err == nil {
		err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

func asNumber(on bool) int {
	if on {
		return 1
	}
	return 0
}

// take gets the port in the way that is wanted, and has the socket listen. A
// refusal is an answer, not an error.
func (w matrixWanted) take(fd int) (matrixAnswer, error) {
	s := w.Socket
	at := netip.AddrPortFrom(s.Address, w.Port)
	if s.Way != asPort {
		if err := onlyPort(w.Port); err != nil {
			return matrixAnswer{}, err
		}
		at = netip.AddrPortFrom(s.Address, 0)
	}
	if s.Way != asClient || !s.Address.IsUnspecified() {
		if err := unix.Bind(fd, asSockaddr(at)); err != nil {
			return refusedAt(atPort, err)
		}
	}
	if s.Way == asClient {
		if err := connectWithin(fd, s.Peer, settling); err != nil {
			return refusedAt(atPort, err)
		}
	}
	if s.Listens {
		if err := unix.Listen(fd, 1); err != nil {
			return refusedAt(atListen, err)
		}
	}
	return matrixAnswer{}, w.has(fd)
}

func refusedAt(step matrixStep, err error) (matrixAnswer, error) {
	errno, ok := err.(syscall.Errno)
	if !ok {
		return matrixAnswer{}, err
	}
	return matrixAnswer{Refused: step, Errno: errno}, nil
}

// connectWithin has connect() refuse at once, and waits for the server otherwise.
func connectWithin(fd int, to netip.AddrPort, patience time.Duration) error {
	if err := unix.Connect(fd, asSockaddr(to)); err != unix.EINPROGRESS {
		return err
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for end := time.Now().Add(patience); ; {
		n, err := unix.Poll(poll, int(max(0, time.Until(end).Milliseconds())))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("nobody at %s answers", to)
		default:
			errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
			if err == nil && errno != 0 {
				err = syscall.Errno(errno)
			}
			return err
		}
	}
}

// onlyPort leaves the kernel one port to choose. A worker's namespace is always
// its lab's own.
func onlyPort(port uint16) error {
	return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", fmt.Appendf(nil, "%d %d\n", port, port), 0)
}

// has wants the socket on the pair's port: else it says nothing about the pair.
func (w matrixWanted) has(fd int) error {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	port := 0
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		port = a.Port
	case *unix.SockaddrInet6:
		port = a.Port
	}
	if port != int(w.Port) {
		return fmt.Errorf("it got port %d", port)
	}
	return nil
}

func asSockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func listenAllOfMatrix(ports []uint16) ([]matrixAnswer, error) {
	matrixOpen.Lock()
	defer matrixOpen.Unlock()
	answers := make([]matrixAnswer, len(ports))
	for i, port := range ports {
		fd, ok := matrixOpen.fds[port]
		if !ok {
			return nil, fmt.Errorf("no socket has port %d", port)
		}
		if err := unix.Listen(fd, 1); err != nil {
			if answers[i], err = refusedAt(atBothBound, err); err != nil {
				return nil, err
			}
		}
	}
	return answers, nil
}

// leaveMatrixBut closes all sockets but those of these ports, which stay until the
// kernel's refusals have been looked into.
func leaveMatrixBut(ports []uint16, keep func(fds ...int) lab.Sockets) (kept int, _ error) {
	matrixOpen.Lock()
	defer matrixOpen.Unlock()
	for _, port := range ports {
		if fd, ok := matrixOpen.fds[port]; ok {
			keep(fd)
			kept++
			delete(matrixOpen.fds, port)
		}
	}
	for _, fd := range matrixOpen.fds {
		unix.Close(fd)
	}
	clear(matrixOpen.fds)
	return kept, nil
}
