package collector

import (
	"net/netip"

	"brink/collector/sockdiag"
)

// findHolders asks sock_diag, in the refused task's namespace, which sockets
// hold the port in its way: those with the same port whose local address
// overlaps. Before 6.8 sock_diag does not list sockets that are bound and
// nothing else, so the list may be empty there.
func findHolders(c *BindConflict) []Holder {
	path := sockdiag.NetnsPath(c.Netns, c.Owner.PID)
	if path == "" {
		return nil
	}
	sockets, err := sockdiag.Dump(sockdiag.Query{NetnsPath: path, LocalPort: c.Local.Port()})
	if err != nil {
		return nil
	}
	inTheWay := sockets[:0]
	for _, s := range sockets {
		if s.Local.Port() == c.Local.Port() && overlap(s.Local.Addr(), c.Local.Addr()) {
			inTheWay = append(inTheWay, s)
		}
	}
	return holdersOf(inTheWay)
}

// overlap reports whether two local addresses can refuse each other: the same,
// or one of them the wildcard. An IPv6 wildcard may cover IPv4 (bindv6only).
func overlap(a, b netip.Addr) bool {
	return a == b || a.IsUnspecified() || b.IsUnspecified()
}

func holdersOf(sockets []sockdiag.Socket) []Holder {
	owners := sockdiag.Owners(inodesOf(sockets))
	holders := make([]Holder, len(sockets))
	for i, s := range sockets {
		process := owners[s.Inode]
		holders[i] = Holder{
			PID: process.PID, Name: process.Name, UID: s.UID,
			State: State(s.State), Local: s.Local, Peer: peerOf(s),
		}
	}
	return holders
}

func inodesOf(sockets []sockdiag.Socket) map[uint32]bool {
	inodes := map[uint32]bool{}
	for _, s := range sockets {
		if s.Inode != 0 {
			inodes[s.Inode] = true
		}
	}
	return inodes
}

func peerOf(s sockdiag.Socket) netip.AddrPort {
	if s.Peer.Port() == 0 {
		return netip.AddrPort{}
	}
	return s.Peer
}

// Preexisting lists the TCP sockets that are there already, in every network
// namespace that has a process. Asking gives each its cookie, which the kernel
// programs report at its end.
func Preexisting() ([]Known, error) {
	var known []Known
	var firstErr error
	for netns, path := range sockdiag.Namespaces() {
		sockets, err := sockdiag.Dump(sockdiag.Query{NetnsPath: path})
		if err != nil {
			if firstErr == nil {
				firstErr = err
			}
			continue // the namespace went away, or is not ours to enter
		}
		owners := sockdiag.Owners(inodesOf(sockets))
		for _, s := range sockets {
			known = append(known, knownOf(s, owners[s.Inode], netns))
		}
	}
	return known, firstErr
}

func knownOf(s sockdiag.Socket, p sockdiag.Process, netns uint32) Known {
	k := Known{
		Cookie: s.Cookie, State: State(s.State), Local: s.Local, Peer: peerOf(s), Netns: netns,
		Owner: Owner{PID: p.PID, UID: s.UID},
	}
	copy(k.Owner.Comm[:], p.Name)
	return k
}
