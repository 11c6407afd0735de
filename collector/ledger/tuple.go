package ledger

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
)

// A tuple stands for a 4-tuple, by its hash: hundreds of thousands are kept, and the
// fewer bytes, the fewer looks go past the cache. That two of 2^18 are alike happens
// to one ledger in 2^29.
type tuple uint64

var seed = maphash.MakeSeed()

func tupleOf(local, peer netip.AddrPort) tuple {
	var key [36]byte
	l, p := local.Addr().As16(), peer.Addr().As16()
	copy(key[:], l[:])
	copy(key[16:], p[:])
	binary.NativeEndian.PutUint16(key[32:], local.Port())
	binary.NativeEndian.PutUint16(key[34:], peer.Port())
	return tuple(maphash.Bytes(seed, key[:]))
}
