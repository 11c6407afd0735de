package collector

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"brink/collector/portrule"
	"brink/collector/sockdiag"

	"golang.org/x/sys/unix"
)

// openSocket makes an IPv4 socket with its options and binds it; port 0 lets the kernel choose.
func openSocket(t *testing.T, transport Transport, local netip.AddrPort, o SocketOptions) (fd int, at netip.AddrPort) {
	t.Helper()
	kind := unix.SOCK_STREAM
	if transport == UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	for option, on := range map[int]bool{unix.SO_REUSEADDR: o.ReuseAddr, unix.SO_REUSEPORT: o.ReusePort} {
		if on {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1)
		}
	}
	if err := unix.Bind(fd, sockaddr(local)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, netip.AddrPortFrom(local.Addr(), uint16(name.(*unix.SockaddrInet4).Port))
}

// conflictOf is a conflict of this process, as the kernel would tell it.
func conflictOf(t *testing.T, transport Transport, local netip.AddrPort, asked SocketOptions) *BindConflict {
	t.Helper()
	return &BindConflict{
		Local: local, Transport: transport, Asked: asked, Netns: ownNetns(t),
		Owner: Owner{PID: uint32(os.Getpid()), UID: uint32(os.Geteuid())},
	}
}

func (b *BindConflict) explained() *BindConflict {
	b.Holders = findHolders(b, new(sockdiag.Finder))
	return b
}

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

// What each holder of one port does to one that asks is told with the rule and
// the remedy; holders that share are not in the way. It does not matter whether
// sock_diag lists a socket that is bound and nothing else (6.8).
func TestConflictRules(t *testing.T) {
	none, addr, port := SocketOptions{}, SocketOptions{ReuseAddr: true}, SocketOptions{ReusePort: true}
	for _, test := range []struct {
		transport    Transport
		asked, holds SocketOptions
		listens      bool
		rule         portrule.Rule
		remedy       string
	}{
		{TCP, none, none, false, portrule.AskerWithoutReuseAddr, "SO_REUSEADDR on both"},
		{TCP, none, addr, false, portrule.AskerWithoutReuseAddr, "SO_REUSEADDR on the asker"},
		{TCP, addr, none, false, portrule.HolderWithoutReuseAddr, "SO_REUSEADDR on the holder"},
		{TCP, addr, addr, false, portrule.NoRule, ""},
		{TCP, addr, addr, true, portrule.HolderListens, "SO_REUSEPORT on both, by one user"},
		{TCP, port, port, true, portrule.NoRule, ""},
		{UDP, none, port, false, portrule.AskerWithoutReuseAddr, "SO_REUSEPORT on the asker"},
		{UDP, addr, addr, false, portrule.NoRule, ""},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			fd, held := openSocket(t, test.transport, anyPort, test.holds)
			if test.listens {
				if err := unix.Listen(fd, 1); err != nil {
					t.Fatal(err)
				}
			}
			c := conflictOf(t, test.transport, held, test.asked).explained()
			equal(t, "rule", c.Rule(), test.rule)
			equal(t, "remedy", c.Remedy(), test.remedy)
			if test.rule == portrule.NoRule {
				equal(t, "holders", len(c.Holders), 0)
				return
			}
			if len(c.Holders) != 1 {
				t.Fatalf("holders %+v, want this process alone", c.Holders)
			}
			h := c.Holders[0]
			equal(t, "pid", h.PID, uint32(os.Getpid()))
			equal(t, "options", h.Options, test.holds)
			equal(t, "unknown", h.Unknown, 0)
			equal(t, "transport", h.Transport, test.transport)
		})
	}
}

// A UDP port and the TCP port of its number are nothing to each other.
func TestUDPHoldersAmongUDP(t *testing.T) {
	fd, held := openSocket(t, UDP, anyPort, SocketOptions{})
	equal(t, "holders of TCP", len(conflictOf(t, TCP, held, SocketOptions{}).explained().Holders), 0)
	h := conflictOf(t, UDP, held, SocketOptions{}).explained().Holders
	if len(h) != 1 {
		t.Fatalf("holders %+v, want one", h)
	}
	equal(t, "state", h[0].StateName(), "bound")
	if err := unix.Connect(fd, sockaddr(netip.MustParseAddrPort("127.0.0.1:9"))); err != nil {
		t.Fatal(err)
	}
	h = conflictOf(t, UDP, held, SocketOptions{}).explained().Holders
	equal(t, "state", h[0].StateName(), "connected")
	equal(t, "peer", h[0].Peer, netip.MustParseAddrPort("127.0.0.1:9"))
}

// A connection's peer is told of a holder. Of a TIME_WAIT nobody tells the
// options: it is in the way of who would not share, and may be of others.
func TestHoldersThatAreConnections(t *testing.T) {
	server := listen(t, "127.0.0.1:0")
	fd, held := openSocket(t, TCP, anyPort, SocketOptions{ReuseAddr: true})
	if err := unix.Connect(fd, sockaddr(server)); err != nil {
		t.Fatal(err)
	}
	c := conflictOf(t, TCP, held, SocketOptions{}).explained()
	if len(c.Holders) != 1 {
		t.Fatalf("holders %+v, want the connection alone", c.Holders)
	}
	equal(t, "state", c.Holders[0].State, Established)
	equal(t, "peer", c.Holders[0].Peer, server)
	equal(t, "rule", c.Rule(), portrule.AskerWithoutReuseAddr)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC) // closes the socket: FIN_WAIT2, for nobody accepts
	c = conflictOf(t, TCP, held, SocketOptions{}).explained()
	if len(c.Holders) != 1 {
		t.Fatalf("holders %+v, want the closed connection alone", c.Holders)
	}
	equal(t, "pid", c.Holders[0].PID, 0)
	equal(t, "rule", c.Rule(), portrule.AskerWithoutReuseAddr)
	equal(t, "remedy", c.Remedy(), "SO_REUSEADDR on both")
	c = conflictOf(t, TCP, held, SocketOptions{ReuseAddr: true}).explained()
	equal(t, "rule for one that would share", c.Rule(), portrule.UnknownRule)
}

// A socket that was refused to listen is bound: it does not hold its own port.
func TestListenerIsNotItsOwnHolder(t *testing.T) {
	addr := SocketOptions{ReuseAddr: true}
	first, held := openSocket(t, TCP, anyPort, addr)
	openSocket(t, TCP, held, addr)
	if err := unix.Listen(first, 1); err != nil {
		t.Fatal(err)
	}
	c := conflictOf(t, TCP, held, addr)
	c.Listening = true
	c.explained()
	if len(c.Holders) != 1 {
		t.Fatalf("holders %+v, want the listener alone", c.Holders)
	}
	equal(t, "state", c.Holders[0].State, Listen)
}

// Port 0 is refused by the range of ports, not by sockets.
func TestNoHolderOfNoPort(t *testing.T) {
	equal(t, "holders", len(conflictOf(t, TCP, anyPort, SocketOptions{}).explained().Holders), 0)
}

func TestRemedyOfAConflict(t *testing.T) {
	waiting := Holder{
		State: TimeWaitState, TimeWait: true, Local: serverEnd, Peer: clientEnd,
		Unknown: portrule.ReuseAddr | portrule.ReusePort, Rule: portrule.AskerWithoutReuseAddr,
	}
	listening := Holder{State: Listen, Local: serverEnd, Rule: portrule.HolderListens}
	unknown := waiting
	unknown.Rule = portrule.UnknownRule
	for _, test := range []struct {
		holders []Holder
		unnamed int
		rule    portrule.Rule
		remedy  string
	}{
		{nil, 0, portrule.NoRule, ""},
		{[]Holder{waiting}, 0, portrule.AskerWithoutReuseAddr, "SO_REUSEADDR on both, or 60 s of waiting"},
		{[]Holder{listening, waiting}, 0, portrule.HolderListens, "SO_REUSEPORT on all, by one user"},
		{[]Holder{listening}, 1, portrule.HolderListens, ""},
		{[]Holder{unknown, listening}, 0, portrule.HolderListens, "SO_REUSEPORT on all, by one user"},
		{[]Holder{unknown}, 0, portrule.UnknownRule, "SO_REUSEADDR on both, or 60 s of waiting"},
	} {
		c := BindConflict{Local: serverEnd, Holders: test.holders, Unnamed: test.unnamed}
		equal(t, "rule", c.Rule(), test.rule)
		equal(t, "remedy", c.Remedy(), test.remedy)
	}
}
