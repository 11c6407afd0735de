package portrule

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// places are the local addresses of a pair: same, other, wildcard; IPv4, IPv6,
// mapped and dual-stack, and the one that the kernel takes for all of IPv6.
var places = []struct {
	address string
	v6only  bool
}{
	{"127.0.0.1", false}, {"127.0.0.2", false}, {"127.0.0.6", false}, {"0.0.0.0", false},
	{"::1", false}, {"fd00::1", false}, {"::", false}, {"::", true},
	{"::ffff:127.0.0.1", false}, {"::ffff:0.0.0.0", false},
}

// socketCases are the places with all options.
func socketCases(transport Transport) (all []Socket) {
	for _, place := range places {
		if differs(place.address) {
			continue
		}
		for options := range 4 {
			s := Socket{Transport: transport, Local: netip.AddrPortFrom(netip.MustParseAddr(place.address), 0)}
			s.ReuseAddr, s.ReusePort, s.V6Only = options&1 != 0, options&2 != 0, place.v6only
			all = append(all, s)
		}
	}
	return all
}

// differs is where the running kernel is known to have another rule (see the
// package's comment).
func differs(address string) bool {
	return address == "127.0.0.6" && olderThan(6, 1) ||
		address == "::ffff:127.0.0.1" && olderThan(6, 9) && !olderThan(6, 1)
}

func olderThan(major, minor int) bool {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	var a, b int
	fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &a, &b)
	return a < major || a == major && b < minor
}

func askCases(transport Transport) []Socket { return socketCases(transport) }

func askStates(transport Transport) []State {
	if transport == UDP {
		return []State{Bound}
	}
	return []State{Bound, Listening}
}

// how a holder comes to be as it is.
type how uint8

const (
	bound         how = iota
	listening         // TCP
	accepted          // its listener has gone
	acceptedIPv4      // the same, by a dual-stack listener from IPv4
	connected         // after bind()
	autobound         // without
	waitingClient     // TIME_WAIT of a connected one
	waitingServer     // TIME_WAIT of an accepted one
)

type holderCase struct {
	socket Socket
	how    how
}

func holderCases() (all []holderCase) {
	ways := map[Transport][]how{
		TCP: {bound, listening, accepted, acceptedIPv4, connected, autobound, waitingClient, waitingServer},
		UDP: {bound, connected, autobound},
	}
	for _, transport := range []Transport{TCP, UDP} {
		for _, s := range socketCases(transport) {
			for _, s.UID = range []uint32{0, 1000} {
				for _, way := range ways[transport] {
					all = append(all, holderCase{s, way})
				}
			}
		}
	}
	return all
}

// target is where something that has the local address can connect to.
func target(local netip.Addr) netip.Addr {
	if local.Is4() {
		return netip.MustParseAddr("127.0.0.1")
	}
	if local.Is4In6() {
		return netip.MustParseAddr("::ffff:127.0.0.1")
	}
	return netip.IPv6Loopback()
}

// hold makes the holder and says what it has become: connecting chooses an
// address, and bind() makes an IPv6 socket V6Only.
func (k *kernel) hold(c holderCase) (Socket, bool) {
	s := c.socket
	if c.how == autobound && !s.Local.Addr().Unmap().IsUnspecified() {
		return s, false // it is not what it would be bound to
	}
	switch c.how {
	case autobound:
		return k.connect(s, false), true
	case connected:
		return k.connect(s, true), true
	case waitingClient:
		return k.wait(k.connect(s, true)), true
	}
	if c.how == acceptedIPv4 && (s.Local.Addr() != netip.IPv6Unspecified() || s.V6Only) {
		return s, false
	}
	s.Local = netip.AddrPortFrom(s.Local.Addr(), k.nextPort())
	fd := k.open(s)
	k.must(unix.Bind(fd, sockaddr(s.Local)))
	if c.how == bound {
		return k.seen(fd, s), true
	}
	k.must(unix.Listen(fd, 8))
	s.State = Listening
	if c.how == listening {
		return k.seen(fd, s), true
	}
	s = k.accept(fd, s, c.how == acceptedIPv4)
	if c.how == waitingServer {
		return k.wait(s), true
	}
	return s, true
}
