package lab

import (
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// newSocket makes a TCP socket and sets its options. Every socket is
// non-blocking: what waits, waits in poll(2) with a time limit.
func newSocket(domain int, o SocketOptions) (int, *Refusal) {
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, refused("socket", netip.AddrPort{}, err)
	}
	if err := setOptions(fd, o); err != nil {
		unix.Close(fd)
		return -1, refused("setsockopt", netip.AddrPort{}, err)
	}
	return fd, nil
}

// setOptions makes one call for each option that is wanted, and none else. The
// options of level IP are those of IPv6 sockets too (ipv6_setsockopt).
func setOptions(fd int, o SocketOptions) error {
	for _, option := range []struct {
		wanted             bool
		level, name, value int
	}{
		{o.ReuseAddr, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{o.ReusePort, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1},
		{o.BindAddressNoPort, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1},
		{o.V6Only != nil, unix.SOL_IPV6, unix.IPV6_V6ONLY, number(o.V6Only)},
		{o.LocalPortRange != [2]uint16{}, unix.SOL_IP, unix.IP_LOCAL_PORT_RANGE, portRange(o.LocalPortRange)},
	} {
		if !option.wanted {
			continue
		}
		if err := unix.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			return err
		}
	}
	if o.Linger0 {
		return setLinger0(fd)
	}
	return nil
}

func setLinger0(fd int) error {
	return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

func number(b *bool) int {
	if b != nil && *b {
		return 1
	}
	return 0
}

// portRange packs as ip(7) has it: the high end in the upper 16 bits.
func portRange(r [2]uint16) int { return int(int32(uint32(r[1])<<16 | uint32(r[0]))) }

// sockaddr gives the family by the address: an IPv4-mapped IPv6 address is for
// an IPv6 socket.
func sockaddr(call string, a netip.AddrPort) (int, unix.Sockaddr, *Refusal) {
	switch {
	case a.Addr().Is4():
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, nil
	case a.Addr().Is6() && a.Addr().Zone() == "":
		return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}, nil
	}
	return 0, nil, &Refusal{Call: call, Address: a, Errno: syscall.EAFNOSUPPORT}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func localAddr(fd int) netip.AddrPort {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return addrPort(sa)
}

func peerAddr(fd int) netip.AddrPort {
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return addrPort(sa)
}

// onWire is the address as the packets have it: a dual-stack socket calls an
// IPv4 peer by its mapped IPv6 address.
func onWire(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
