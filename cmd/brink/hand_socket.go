package main

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// handOption is a socket option that a flag asks for.
type handOption struct {
	name              string
	level, opt, value int
	since             string // the kernel that brought it, for who has an older one
}

func handReuseAddr() handOption {
	return handOption{name: "SO_REUSEADDR", level: unix.SOL_SOCKET, opt: unix.SO_REUSEADDR, value: 1}
}

func handReusePort() handOption {
	return handOption{name: "SO_REUSEPORT", level: unix.SOL_SOCKET, opt: unix.SO_REUSEPORT, value: 1, since: "3.9"}
}

// handV6Only is always set, so that net.ipv6.bindv6only does not decide.
func handV6Only(only bool) handOption {
	o := handOption{name: "IPV6_V6ONLY", level: unix.SOL_IPV6, opt: unix.IPV6_V6ONLY}
	if only {
		o.value = 1
	}
	return o
}

// The next two are of level SOL_IP for IPv6, too: the kernel hands that level of
// a TCP socket to ip_setsockopt whatever its family.

func handNoPort() handOption {
	return handOption{name: "IP_BIND_ADDRESS_NO_PORT", level: unix.SOL_IP, opt: unix.IP_BIND_ADDRESS_NO_PORT, value: 1, since: "4.2"}
}

func handPortRange(low, high uint16) handOption {
	return handOption{name: "IP_LOCAL_PORT_RANGE", level: unix.SOL_IP, opt: unix.IP_LOCAL_PORT_RANGE,
		value: int(low) | int(high)<<16, since: "6.3"}
}

// handSocket makes a socket that does not block, with the options set.
func handSocket(family int, options []handOption) (fd int, refused *handRefusal) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, handRefused("socket", err)
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			unix.Close(fd)
			refused = handRefused("setsockopt "+o.name, err)
			refused.since = o.since
			return -1, refused
		}
	}
	return fd, nil
}

// dial is socket, bind if asked for, and connect.
func (h *handClient) dial(ctx context.Context) (fd int, refused *handRefusal) {
	fd, refused = handSocket(handFamily(h.to.Addr()), h.options)
	if refused != nil {
		return -1, refused
	}
	defer func() {
		if refused != nil {
			unix.Close(fd)
		}
	}()
	if h.from.IsValid() {
		if err := unix.Bind(fd, handSockaddr(h.from)); err != nil {
			return fd, handBindRefused("bind", err, h.from)
		}
	}
	bound := handLocal(fd)
	err := unix.Connect(fd, handSockaddr(h.to))
	if err == unix.EINPROGRESS || err == unix.EINTR {
		err = handAwait(ctx, fd, h.timeout)
	}
	if err != nil {
		return fd, handConnectRefused(err, bound, h.to)
	}
	return fd, nil
}

func handFamily(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// handAwait waits until a connect under way has an outcome. It looks up for
// ctrl-C now and then, for a descriptor to wake it would count against the very
// limit that may be looked for.
func handAwait(ctx context.Context, fd int, timeout time.Duration) error {
	const lookUp = 50 * time.Millisecond
	for deadline := time.Now().Add(timeout); ; {
		left := time.Until(deadline)
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		wait := max(min(left, lookUp).Milliseconds(), 1)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(wait))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && err != unix.EINTR:
			return err
		case n > 0:
			return handPendingError(fd)
		}
	}
}

func handPendingError(fd int) error {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = unix.Errno(errno)
	}
	return err
}

func handSockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port()), ZoneId: handZone(a.Addr().Zone())}
}

// handZone is the interface of a link-local address, by name or by number.
func handZone(zone string) uint32 {
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}

func handAddrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		a := netip.AddrFrom16(sa.Addr).Unmap()
		if i, err := net.InterfaceByIndex(int(sa.ZoneId)); sa.ZoneId != 0 && err == nil {
			a = a.WithZone(i.Name)
		}
		return netip.AddrPortFrom(a, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// handLocal is the address that a socket has, as far as it has one.
func handLocal(fd int) netip.AddrPort {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return handAddrPort(sa)
}

// handPlace is an address as written: the host may be a name, and none is the
// wildcard.
type handPlace struct {
	host string
	port uint16
}

func handParsePlace(s string) (handPlace, error) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		return handPlace{}, usagef("%q is no ADDRESS:PORT: write 192.0.2.7:80, [2001:db8::7]:80, name:80 or, to listen, :80", s)
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return handPlace{}, usagef("%s: the port %q is not a number from 0 to 65535", s, digits)
	}
	if host == "*" {
		host = ""
	}
	return handPlace{host, uint16(port)}, nil
}

// resolve gives the first address of the family wanted (AF_UNSPEC is any); the
// resolver has the best one first.
func (p handPlace) resolve(ctx context.Context, family int) (netip.AddrPort, error) {
	all := []netip.Addr{}
	if a, err := netip.ParseAddr(p.host); err == nil {
		all = append(all, a)
	} else if all, err = net.DefaultResolver.LookupNetIP(ctx, "ip", p.host); err != nil {
		return netip.AddrPort{}, err
	}
	for _, a := range all {
		if a = a.Unmap(); family == unix.AF_UNSPEC || handFamily(a) == family {
			return netip.AddrPortFrom(a, p.port), nil
		}
	}
	return netip.AddrPort{}, usagef("%s has no address of the other end's family: IPv4 and IPv6 do not meet", p.host)
}

// handWildcard is any address of a family.
func handWildcard(family int, port uint16) netip.AddrPort {
	if family == unix.AF_INET {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), port)
	}
	return netip.AddrPortFrom(netip.IPv6Unspecified(), port)
}

func handParseRange(s string) (low, high uint16, err error) {
	from, to, _ := strings.Cut(s, "-")
	l, errLow := strconv.ParseUint(from, 10, 16)
	t, errHigh := strconv.ParseUint(to, 10, 16)
	if errLow != nil || errHigh != nil || l == 0 || l > t {
		return 0, 0, usagef("--local-port-range %s: give LOW-HIGH, such as 40000-40003, within 1 to 65535", s)
	}
	return uint16(l), uint16(t), nil
}

// resolve finds both addresses, of one family; the address bound decides which.
func (h *handClient) resolve(ctx context.Context, to, bind handPlace) (err error) {
	family := unix.AF_UNSPEC
	if bind.host != "" {
		if h.from, err = bind.resolve(ctx, family); err != nil {
			return err
		}
		family = handFamily(h.from.Addr())
	}
	if h.to, err = to.resolve(ctx, family); err != nil {
		return err
	}
	if bind.host == "" && bind.port != 0 {
		h.from = handWildcard(handFamily(h.to.Addr()), bind.port)
	}
	return nil
}
