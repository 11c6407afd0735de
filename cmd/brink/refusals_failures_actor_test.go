package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// failEveryWay has connections fail in each way there is; those that take
// seconds do so side by side.
//
//	failed FAILURE ERRNO LOCAL PEER    LOCAL is - where the program never knew it
//	abandoned LOCAL PEER               closed by itself before any answer
func failEveryWay(at netip.Addr) error {
	for _, fail := range []func(netip.Addr) error{
		beTurnedAway, missRoute, meetUnreachable, meetReset, meetResetAfterEnd, giveUp, pollAndMiss,
	} {
		if err := fail(at); err != nil {
			return err
		}
	}
	slow := []func(netip.Addr) error{waitForSYN, waitForACK, waitForProbe, waitForWindow}
	errs := make([]error, len(slow))
	var all sync.WaitGroup
	for i, fail := range slow {
		all.Go(func() { errs[i] = fail(at) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// tell prints what happened to a client, if it is what was to happen.
func tell(failure string, got, want error, local any, peer netip.AddrPort) error {
	if got != want {
		return fmt.Errorf("%s to %s: %w", failure, peer, got)
	}
	os.Stdout.WriteString(fmt.Sprintln("failed", failure, unix.ErrnoName(want.(unix.Errno)), local, peer))
	return nil
}

func connectTo(to netip.AddrPort) error {
	fd, err := socketFor("tcp", to.Addr())
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, sockaddrOf(to))
}

func beTurnedAway(at netip.Addr) error {
	to := netip.AddrPortFrom(at, 6001)
	return tell("refused", connectTo(to), unix.ECONNREFUSED, "-", to)
}

// missRoute: these addresses are for documentation; in here, no route is.
func missRoute(at netip.Addr) error {
	to := netip.AddrPortFrom(documentation(at, 1), 80)
	return tell("unreachable", connectTo(to), unix.ENETUNREACH, "-", to)
}

// meetUnreachable is `ip route add unreachable ADDRESS`, and a connect to it.
func meetUnreachable(at netip.Addr) error {
	to := netip.AddrPortFrom(documentation(at, 2), 80)
	routes, err := rtnetlink.Dial(nil)
	if err != nil {
		return err
	}
	defer routes.Close()
	route := rtnetlink.RouteMessage{
		Family: unix.AF_INET, DstLength: uint8(to.Addr().BitLen()), Table: unix.RT_TABLE_MAIN,
		Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNREACHABLE,
		Attributes: rtnetlink.RouteAttributes{Dst: net.IP(to.Addr().AsSlice())},
	}
	if at.Is6() {
		route.Family = unix.AF_INET6
	}
	if err := routes.Route.Add(&route); err != nil {
		return fmt.Errorf("add an unreachable route: %w", err)
	}
	return tell("unreachable", connectTo(to), unix.EHOSTUNREACH, "-", to)
}

func documentation(like netip.Addr, host byte) netip.Addr {
	base := netip.MustParseAddr("203.0.113.0").AsSlice()
	if like.Is6() {
		base = netip.MustParseAddr("2001:db8::").AsSlice()
	}
	base[len(base)-1] = host
	addr, _ := netip.AddrFromSlice(base)
	return addr
}

// couple is an established connection with both ends.
type couple struct {
	client, server int
	local, peer    netip.AddrPort
}

func marry(at netip.Addr, port uint16) (c couple, err error) {
	c.peer = netip.AddrPortFrom(at, port)
	listener, err := listeningSocket(c.peer, 8)
	if err != nil {
		return c, err
	}
	defer unix.Close(listener)
	if c.client, err = socketFor("tcp", at); err != nil {
		return c, err
	}
	if err = unix.Connect(c.client, sockaddrOf(c.peer)); err != nil {
		return c, err
	}
	if c.local, err = localOf(c.client); err != nil {
		return c, err
	}
	c.server, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
	return c, err
}

// vanish has the socket's segments dropped from now on, as if its host had gone.
func vanish(fd int) error {
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
		Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	})
}

// heard is what a read ends with.
func heard(fd int) error {
	_, err := unix.Read(fd, make([]byte, 1))
	return err
}

// meetReset: the other end is closed with SO_LINGER 0.
func meetReset(at netip.Addr) error {
	c, err := marry(at, 6002)
	if err != nil {
		return err
	}
	defer unix.Close(c.client)
	reset(c.server)
	return tell("reset", heard(c.client), unix.ECONNRESET, c.local, c.peer)
}

// meetResetAfterEnd: the reset comes after the other end's FIN, and then a
// program that writes is told of a broken pipe (tcp_reset).
func meetResetAfterEnd(at netip.Addr) error {
	c, err := marry(at, 6003)
	if err != nil {
		return err
	}
	defer unix.Close(c.client)
	if err := unix.Shutdown(c.server, unix.SHUT_WR); err != nil {
		return err
	}
	if err := heard(c.client); err != nil {
		return err
	}
	reset(c.server)
	got := await("EPIPE", func() (bool, error) {
		n, err := unix.GetsockoptInt(c.client, unix.SOL_SOCKET, unix.SO_ERROR)
		if n != 0 {
			err = unix.Errno(n)
		}
		return false, err
	})
	return tell("reset", got, unix.EPIPE, c.local, c.peer)
}

// waitForSYN: two SYNs go unanswered.
func waitForSYN(at netip.Addr) error {
	to := netip.AddrPortFrom(at, 6004)
	listener, err := listeningSocket(to, 8)
	if err != nil {
		return err
	}
	defer unix.Close(listener)
	if err := vanish(listener); err != nil {
		return err
	}
	fd, err := socketFor("tcp", at)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_SYNCNT, 1); err != nil {
		return err
	}
	return tell("syn_timeout", unix.Connect(fd, sockaddrOf(to)), unix.ETIMEDOUT, "-", to)
}

// waitForACK: data goes unacknowledged for TCP_USER_TIMEOUT.
func waitForACK(at netip.Addr) error {
	c, err := marry(at, 6005)
	if err != nil {
		return err
	}
	defer unix.Close(c.client)
	defer reset(c.server)
	if err := vanish(c.server); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(c.client, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 500); err != nil {
		return err
	}
	if _, err := unix.Write(c.client, []byte("x")); err != nil {
		return err
	}
	return tell("retransmission_timeout", heard(c.client), unix.ETIMEDOUT, c.local, c.peer)
}

// waitForProbe: one keepalive probe goes unanswered.
func waitForProbe(at netip.Addr) error {
	c, err := marry(at, 6006)
	if err != nil {
		return err
	}
	defer unix.Close(c.client)
	defer reset(c.server)
	if err := vanish(c.server); err != nil {
		return err
	}
	for _, option := range []int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT} {
		if err := unix.SetsockoptInt(c.client, unix.IPPROTO_TCP, option, 1); err != nil {
			return err
		}
	}
	if err := unix.SetsockoptInt(c.client, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1); err != nil {
		return err
	}
	return tell("probe_timeout", heard(c.client), unix.ETIMEDOUT, c.local, c.peer)
}

// waitForWindow: the other end reads nothing, and says so to each probe of its
// window, until TCP_USER_TIMEOUT has passed.
func waitForWindow(at netip.Addr) error {
	c, err := marry(at, 6007)
	if err != nil {
		return err
	}
	defer unix.Close(c.client)
	defer reset(c.server)
	if err := unix.SetsockoptInt(c.client, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 1000); err != nil {
		return err
	}
	if err := unix.SetNonblock(c.client, true); err != nil {
		return err
	}
	for err == nil {
		_, err = unix.Write(c.client, make([]byte, 1<<16))
	}
	if err != unix.EAGAIN {
		return err
	}
	if err := unix.SetNonblock(c.client, false); err != nil {
		return err
	}
	return tell("probe_timeout", heard(c.client), unix.ETIMEDOUT, c.local, c.peer)
}

// giveUp closes while its SYN is unanswered.
func giveUp(at netip.Addr) error {
	to := netip.AddrPortFrom(at, 6008)
	listener, err := listeningSocket(to, 8)
	if err != nil {
		return err
	}
	defer unix.Close(listener)
	if err := vanish(listener); err != nil {
		return err
	}
	fd, err := socketFor("tcp", at)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	if err := unix.Connect(fd, sockaddrOf(to)); err != unix.EINPROGRESS {
		return fmt.Errorf("connect to nobody: %w", err)
	}
	local, err := localOf(fd)
	if err != nil {
		return err
	}
	os.Stdout.WriteString(fmt.Sprintln("abandoned", local, to))
	return unix.Close(fd)
}

// pollAndMiss is refused and polls for it, as event loops do, and asks for no
// route next: a new socket is likely to get the old one's memory.
func pollAndMiss(at netip.Addr) error {
	refusing, missing := netip.AddrPortFrom(at, 6009), netip.AddrPortFrom(documentation(at, 3), 80)
	for range 20 {
		local, got, err := pollFor(refusing)
		if err != nil {
			return err
		}
		if err := tell("refused", got, unix.ECONNREFUSED, local, refusing); err != nil {
			return err
		}
		if err := tell("unreachable", connectTo(missing), unix.ENETUNREACH, "-", missing); err != nil {
			return err
		}
	}
	return nil
}

// pollFor connects without blocking and returns what came of it.
func pollFor(to netip.AddrPort) (local netip.AddrPort, result, err error) {
	fd, err := socketFor("tcp", to.Addr())
	if err != nil {
		return local, nil, err
	}
	defer unix.Close(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return local, nil, err
	}
	if err := unix.Connect(fd, sockaddrOf(to)); err != unix.EINPROGRESS {
		return local, nil, fmt.Errorf("connect without blocking: %w", err)
	}
	events := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for n := 0; n == 0 || err == unix.EINTR; {
		if n, err = unix.Poll(events, 1000); err != nil && err != unix.EINTR {
			return local, nil, err
		}
	}
	if local, err = localOf(fd); err != nil {
		return local, nil, err
	}
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	return local, unix.Errno(errno), err
}
