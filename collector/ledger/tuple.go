package ledger

import "net/netip"

// A tuple is a key without pointers: hundreds of thousands of them are kept.
type tuple struct {
	local, peer         [16]byte
	localPort, peerPort uint16
}

func tupleOf(local, peer netip.AddrPort) tuple {
	return tuple{
		local: local.Addr().As16(), peer: peer.Addr().As16(),
		localPort: local.Port(), peerPort: peer.Port(),
	}
}

func (t *tuple) addresses() (local, peer netip.AddrPort) {
	return addrPort(t.local, t.localPort), addrPort(t.peer, t.peerPort)
}

func addrPort(addr [16]byte, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(addr).Unmap(), port)
}
