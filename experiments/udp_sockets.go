package experiments

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

// What workers do with their UDP sockets. All datagrams are text: an address.
var (
	openUDP   = lab.DefineSocketProgram("open UDP sockets", openUDPInside)
	sayUDP    = lab.DefineProgram("say one's own address by UDP", sayUDPInside)
	answerUDP = lab.DefineProgram("answer UDP peers", answerUDPInside)
	hearUDP   = lab.DefineProgram("hear UDP peers", func(struct{}) ([]udpHeard, error) { return hearUDPInside() })
)

// udpWanted are sockets to open: one for each address in At, and Repeat times
// over; each connected to the peer of the same place, where there are any.
type udpWanted struct {
	At, To               []netip.AddrPort
	Repeat               int
	ReuseAddr, ReusePort bool
}

// udpOpened is how far that came: Errno is bind's that ended it.
type udpOpened struct {
	Locals []netip.AddrPort
	Errno  syscall.Errno
}

// udpHeard is what one socket received: it is to be one datagram.
type udpHeard struct {
	Local, Peer netip.AddrPort // of the socket; Peer if it is connected
	From        []netip.AddrPort
	Said        []string
}

// udpOpen are the worker's own, in the order in which they were opened.
var udpOpen struct {
	sync.Mutex
	fds []int
}

// udpPatience bounds a read: loopback loses nothing, so it ends only what has
// gone wrong.
const udpPatience = 5 * time.Second

func openUDPInside(w udpWanted, keep func(...int) lab.Sockets) (o udpOpened, err error) {
	udpOpen.Lock()
	defer udpOpen.Unlock()
	for range max(w.Repeat, 1) {
		for i, at := range w.At {
			fd, err := w.open(at)
			if errors.As(err, &o.Errno) {
				return o, nil
			}
			if err != nil {
				return o, err
			}
			keep(fd)
			udpOpen.fds = append(udpOpen.fds, fd)
			if i < len(w.To) {
				if err := unix.Connect(fd, sockaddrOf(w.To[i])); err != nil {
					return o, fmt.Errorf("connect UDP socket %d: %w", i, err)
				}
			}
			local, err := localOf(fd)
			if err != nil {
				return o, err
			}
			o.Locals = append(o.Locals, local)
		}
	}
	return o, nil
}

// open fails with bind's errno alone; other calls are not what is pushed.
func (w udpWanted) open(at netip.AddrPort) (int, error) {
	domain := unix.AF_INET
	if at.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a UDP socket: %v", err)
	}
	patience := unix.NsecToTimeval(udpPatience.Nanoseconds())
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience)
	if w.ReuseAddr {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	}
	if w.ReusePort {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set a UDP socket's options: %v", err)
	}
	if err := unix.Bind(fd, sockaddrOf(at)); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// udpSaying: so many sockets from the first on (0: all) say something to the
// address, or each to the peer that it is connected to.
type udpSaying struct {
	To           netip.AddrPort
	First, Count int
}

func sayUDPInside(s udpSaying) (struct{}, error) {
	udpOpen.Lock()
	defer udpOpen.Unlock()
	var peer unix.Sockaddr
	if s.To.IsValid() {
		peer = sockaddrOf(s.To)
	}
	sockets := udpOpen.fds[s.First:]
	if s.Count > 0 {
		sockets = sockets[:s.Count]
	}
	for _, fd := range sockets {
		local, err := localOf(fd)
		if err != nil {
			return struct{}{}, err
		}
		if err := unix.Sendmsg(fd, []byte(local.String()), nil, peer, 0); err != nil {
			return struct{}{}, fmt.Errorf("send from %s: %w", local, err)
		}
	}
	return struct{}{}, nil
}

// answerUDPInside has the worker's first socket tell n peers their addresses as
// it sees them.
func answerUDPInside(n int) (answered int, err error) {
	udpOpen.Lock()
	defer udpOpen.Unlock()
	room := make([]byte, 128)
	for range n {
		_, from, err := unix.Recvfrom(udpOpen.fds[0], room, 0)
		if err != nil {
			return answered, fmt.Errorf("wait for a peer: %w", err)
		}
		if err := unix.Sendto(udpOpen.fds[0], []byte(addrPortOf(from).String()), 0, from); err != nil {
			return answered, fmt.Errorf("answer a peer: %w", err)
		}
		answered++
	}
	return answered, nil
}

// hearUDPInside waits for one datagram at every socket, and takes what else has
// come: what was meant for another is one too many here.
func hearUDPInside() (all []udpHeard, err error) {
	udpOpen.Lock()
	defer udpOpen.Unlock()
	room := make([]byte, 128)
	for _, fd := range udpOpen.fds {
		h := udpHeard{}
		if h.Local, err = localOf(fd); err != nil {
			return nil, err
		}
		if peer, err := unix.Getpeername(fd); err == nil {
			h.Peer = addrPortOf(peer)
		}
		for flags := 0; ; flags = unix.MSG_DONTWAIT {
			n, from, err := unix.Recvfrom(fd, room, flags)
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("receive at %s: %w", h.Local, err)
			}
			h.From, h.Said = append(h.From, addrPortOf(from)), append(h.Said, string(room[:n]))
		}
		all = append(all, h)
	}
	return all, nil
}

func localOf(fd int) (netip.AddrPort, error) {
	name, err := unix.Getsockname(fd)
	return addrPortOf(name), err
}

func sockaddrOf(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func addrPortOf(name unix.Sockaddr) netip.AddrPort {
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}
