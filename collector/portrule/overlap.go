package portrule

import "net/netip"

// overlap reports whether the addresses can refuse each other, as
// inet_rcv_saddr_equal with wildcards does. It is not symmetric: an IPv4 socket
// looks at the other's IPv4 address only.
func overlap(ask, held Socket) bool {
	asked, holds := ask.Local.Addr(), held.Local.Addr().Unmap()
	switch {
	case asked.Is4():
		return overlap4(ask, held)
	case asked.Is4In6() && holds.Is4():
		return equalOrAny(asked.Unmap(), holds)
	case asked.Is4In6():
		return holds.IsUnspecified() && !held.V6Only
	case holds.Is4():
		return asked.IsUnspecified() && !ask.V6Only
	}
	return equalOrAny(asked, holds)
}

// loopback4 is what the kernel keeps as the IPv4 address of a socket that has
// an IPv6 one (LOOPBACK4_IPV6).
var loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 6})

// overlap4 takes the IPv6 address for loopback4, unless the holder is V6Only: so
// 0.0.0.0 is refused by a connection over IPv6 that a dual-stack listener has
// accepted, or that was not bound before it connected.
func overlap4(ask, held Socket) bool {
	asked, holds := ask.Local.Addr(), held.Local.Addr().Unmap()
	if holds.Is4() {
		return equalOrAny(asked, holds)
	}
	if held.V6Only {
		return false
	}
	if holds.IsUnspecified() || asked.IsUnspecified() {
		return true
	}
	// TCP finds the holders of one address by that address (bhash2, 6.1), so
	// that 127.0.0.6 is nothing special there.
	return ask.Transport == UDP && asked == loopback4
}

func equalOrAny(a, b netip.Addr) bool {
	return a.WithZone("") == b.WithZone("") || a.IsUnspecified() || b.IsUnspecified()
}

// dualStack reports whether the addresses are of different families: they
// overlap because the IPv6 socket speaks IPv4, too.
func dualStack(ask, held Socket) bool {
	return ask.Local.Addr().Unmap().Is4() != held.Local.Addr().Unmap().Is4()
}
