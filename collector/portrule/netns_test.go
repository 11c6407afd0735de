package portrule

import (
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel makes sockets in a network namespace of its own, all from one thread.
type kernel struct {
	t         *testing.T
	port      uint16
	fds       []int
	held, far int         // of a connection: the end that holds the port, and the other
	servers   map[int]int // what connections go to, by address family
	tun       int         // secondDevice
}

// serverPort is out of the way of the ports under test.
const serverPort = 20

const secondDevice = "brinkrule0"

// The main thread stays in its namespace, for the tests that come after.
func init() { runtime.LockOSThread() }

// inPrivateNetns runs the test on a thread that never comes back.
func inPrivateNetns(t *testing.T, test func(*kernel)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("it takes root to make a network namespace")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		k := &kernel{t: t, port: 1023, servers: map[int]int{}}
		k.must(unix.Unshare(unix.CLONE_NEWNET))
		defer k.end()
		k.up()
		test(k)
	}()
	<-done
}

// up brings up lo with a second IPv6 address, and keeps ports that the kernel
// chooses away from those under test. The TIME_WAITs under test stay for a
// minute: there must be room.
func (k *kernel) up() {
	fd := k.socket(unix.AF_INET, unix.SOCK_DGRAM)
	request, err := unix.NewIfreq("lo")
	k.must(err)
	request.SetUint16(unix.IFF_UP)
	k.must(unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request))
	k.addAddress(netip.MustParseAddr("fd00::1"))
	k.must(os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("61000 65000"), 0))
	k.must(os.WriteFile("/proc/sys/net/ipv4/tcp_max_tw_buckets", []byte("100000"), 0))
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		k.servers[family] = k.server(family)
	}
	k.closeAll()
}

// end leaves no descriptor: each would keep the namespace.
func (k *kernel) end() {
	for _, server := range k.servers {
		k.fds = append(k.fds, server)
	}
	if k.tun != 0 {
		k.fds = append(k.fds, k.tun)
	}
	k.closeAll()
}

// addAddress adds the address to lo, and waits until it is not tentative.
func (k *kernel) addAddress(a netip.Addr) {
	request := struct { // struct in6_ifreq
		addr    [16]byte
		length  uint32
		ifindex int32
	}{a.As16(), 128, int32(k.device("lo"))}
	fd := k.socket(unix.AF_INET6, unix.SOCK_DGRAM)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		k.must(errno)
	}
	for range 1000 {
		if unix.Bind(fd, sockaddr(netip.AddrPortFrom(a, 0))) == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	k.t.Fatalf("%s stays tentative", a)
}

// server stays for the whole test.
func (k *kernel) server(family int) int {
	fd := k.socket(family, unix.SOCK_STREAM)
	k.fds = k.fds[:len(k.fds)-1]
	local := netip.IPv4Unspecified()
	if family == unix.AF_INET6 {
		local = netip.IPv6Unspecified()
		k.must(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1))
	}
	k.must(unix.Bind(fd, sockaddr(netip.AddrPortFrom(local, serverPort))))
	k.must(unix.Listen(fd, 8))
	return fd
}

// device makes sure of the interface: secondDevice is one end of a tun.
func (k *kernel) device(name string) uint32 {
	fd := k.socket(unix.AF_INET, unix.SOCK_DGRAM)
	request, err := unix.NewIfreq(name)
	k.must(err)
	if unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request) != nil {
		tun, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			k.t.Skipf("a second device: %v", err)
		}
		k.tun = tun
		request.SetUint16(unix.IFF_TUN)
		k.must(unix.IoctlIfreq(tun, unix.TUNSETIFF, request))
		k.must(unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request))
	}
	return request.Uint32()
}

func (k *kernel) nextPort() uint16 {
	k.port++
	if k.port >= 61000 {
		k.t.Fatal("the ports have run out")
	}
	return k.port
}

func (k *kernel) must(err error) {
	if err != nil {
		k.t.Helper()
		k.t.Fatal(err)
	}
}

func (k *kernel) socket(family, kind int) int {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	k.must(err)
	k.fds = append(k.fds, fd)
	return fd
}

// open makes the socket with its options, not yet bound.
func (k *kernel) open(s Socket) int {
	family, kind := unix.AF_INET6, unix.SOCK_STREAM
	if s.Local.Addr().Is4() {
		family = unix.AF_INET
	}
	if s.Transport == UDP {
		kind = unix.SOCK_DGRAM
	}
	fd := k.socket(family, kind)
	set := func(level, option int, on bool) {
		k.must(unix.SetsockoptInt(fd, level, option, int(*(*uint8)(unsafe.Pointer(&on)))))
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEADDR, s.ReuseAddr)
	set(unix.SOL_SOCKET, unix.SO_REUSEPORT, s.ReusePort)
	if family == unix.AF_INET6 {
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, s.V6Only)
	}
	if s.Device != 0 {
		k.must(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, int(s.Device)))
	}
	k.must(unix.Fchown(fd, int(s.UID), -1)) // sk_uid follows (sockfs_setattr)
	return fd
}

// closeAll resets what is connected: no TIME_WAIT is left but those under test.
func (k *kernel) closeAll() {
	for _, fd := range k.fds {
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		unix.Close(fd)
	}
	k.fds = k.fds[:0]
}

// connect is a client: bound to its local address first, or not. UDP needs no
// server.
func (k *kernel) connect(s Socket, bindFirst bool) Socket {
	s.State, s.Origin = Connected, ByConnect
	fd := k.open(s)
	if bindFirst {
		s.Origin = ByBind
		s.Local = netip.AddrPortFrom(s.Local.Addr(), k.nextPort())
		k.must(unix.Bind(fd, sockaddr(s.Local)))
	}
	to := target(s.Local.Addr())
	k.must(unix.Connect(fd, sockaddr(netip.AddrPortFrom(to, serverPort))))
	k.held = fd
	if s.Transport == TCP {
		family := unix.AF_INET6
		if to.Unmap().Is4() {
			family = unix.AF_INET
		}
		k.far = k.acceptFrom(k.servers[family])
	}
	return k.seen(fd, s)
}

// accept is the other end: its listener goes.
func (k *kernel) accept(listener int, s Socket, overIPv4 bool) Socket {
	to := s.Local.Addr()
	if overIPv4 {
		to = netip.MustParseAddr("127.0.0.1")
	} else if to.Unmap().IsUnspecified() {
		to = target(to)
	}
	client := Socket{Local: netip.AddrPortFrom(to, 0)}
	k.far = k.open(client)
	k.must(unix.Connect(k.far, sockaddr(netip.AddrPortFrom(to, s.Local.Port()))))
	k.held = k.acceptFrom(listener)
	k.must(unix.Fchown(k.held, int(s.UID), -1)) // accept() makes it the caller's
	k.close(listener)
	s.State, s.Origin = Connected, ByAccept
	return k.seen(k.held, s)
}

func (k *kernel) acceptFrom(listener int) int {
	fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	k.must(err)
	k.fds = append(k.fds, fd)
	return fd
}

// wait closes the end that holds the port first: it goes to TIME_WAIT, and the
// other end, if it has heard of that, does not.
func (k *kernel) wait(s Socket) Socket {
	k.close(k.held)
	for range 1000 {
		info, err := unix.GetsockoptTCPInfo(k.far, unix.IPPROTO_TCP, unix.TCP_INFO)
		k.must(err)
		if info.State == 8 { // CLOSE_WAIT
			break
		}
		time.Sleep(time.Millisecond)
	}
	k.close(k.far)
	s.State = TimeWait
	return s
}

func (k *kernel) close(fd int) {
	k.must(unix.Close(fd))
	k.fds = slices.DeleteFunc(k.fds, func(open int) bool { return open == fd })
}

// seen is the socket with what the kernel made of it.
func (k *kernel) seen(fd int, s Socket) Socket {
	name, err := unix.Getsockname(fd)
	k.must(err)
	get := func(level, option int) bool {
		on, err := unix.GetsockoptInt(fd, level, option)
		k.must(err)
		return on != 0
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		s.Local = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		s.Local = netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
		s.V6Only = get(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
	}
	s.ReuseAddr = get(unix.SOL_SOCKET, unix.SO_REUSEADDR)
	s.ReusePort = get(unix.SOL_SOCKET, unix.SO_REUSEPORT)
	return s
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}
