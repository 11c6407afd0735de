package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	b := diagMessage(unix.AF_INET, netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.2:80"))
	want := Socket{
		State: established, Cookie: 0x1122334455667788, Inode: 4242, UID: 1000, ReceiveQueue: 3, SendQueue: 4,
		Local: netip.MustParseAddrPort("10.0.0.1:40000"), Peer: netip.MustParseAddrPort("10.0.0.2:80"),
		Protocol: unix.IPPROTO_TCP, Interface: 9,
	}
	for _, attributes := range []int{0, 1, 100} {
		got, err := parsed(append(slices.Clone(b), make([]byte, attributes)...), unix.IPPROTO_TCP)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprint("with attributes of ", attributes), got, want)
	}
	for _, length := range []int{0, 1, 4, 71} {
		if _, err := parsed(b[:length], unix.IPPROTO_TCP); !errors.Is(err, errShort) {
			t.Errorf("%d bytes: error %v", length, err)
		}
	}
}

// IPV6_V6ONLY is an attribute behind others; what is cut off is not known.
func TestParseV6Only(t *testing.T) {
	b := diagMessage(unix.AF_INET6, netip.MustParseAddrPort("[::]:80"), netip.MustParseAddrPort("[::]:0"))
	other, on := []byte{5, 0, 8, 0, 0, 0, 0, 0}, []byte{5, 0, 11, 0, 1, 0, 0, 0}
	for _, test := range []struct {
		attributes  []byte
		known, only bool
	}{
		{nil, false, false},
		{other, false, false},
		{on, true, true},
		{[]byte{5, 0, 11, 0, 0, 0, 0, 0}, true, false},
		{slices.Concat(other, on), true, true},
		{slices.Concat(other, on[:5]), true, true}, // the last one is not padded
		{slices.Concat(other, on[:4]), false, false},
		{slices.Concat([]byte{3, 0, 8, 0}, on), false, false},
	} {
		s, err := parsed(slices.Concat(b, test.attributes), unix.IPPROTO_TCP)
		if err != nil || s.V6OnlyKnown != test.known || s.V6Only != test.only {
			t.Errorf("attributes %x: known %t, v6only %t, %v", test.attributes, s.V6OnlyKnown, s.V6Only, err)
		}
	}
}

// Closed means bound of a TCP socket alone. A timewait socket may be FIN_WAIT2.
func TestParseStates(t *testing.T) {
	b := diagMessage(unix.AF_INET, netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2"))
	b[1] = closed
	for protocol, want := range map[uint8]uint8{unix.IPPROTO_TCP: boundInactive, unix.IPPROTO_UDP: closed} {
		s, _ := parsed(b, protocol)
		equal(t, fmt.Sprint("state of protocol ", protocol), s.State, want)
	}
	b[1], b[2] = 5, 3
	s, _ := parsed(b, unix.IPPROTO_TCP)
	equal(t, "timewait", s.TimeWait, true)
	equal(t, "state", s.State, 5)
}

func TestMarshal(t *testing.T) {
	b := Query{LocalPort: 0x1234, PeerPort: 0x5678, States: 1 << listening}.marshal(unix.AF_INET6)
	equal(t, "length", len(b), requestSize)
	equal(t, "family and protocol", fmt.Sprint(b[:2]), fmt.Sprint([]byte{unix.AF_INET6, unix.IPPROTO_TCP}))
	equal(t, "ports", fmt.Sprintf("%x", b[8:12]), "12345678")
	equal(t, "another protocol", Query{Protocol: unix.IPPROTO_UDP}.marshal(unix.AF_INET)[1], unix.IPPROTO_UDP)
	equal(t, "cookie", fmt.Sprintf("%x", b[48:]), "ffffffffffffffff")
}

func parsed(b []byte, protocol uint8) (s Socket, err error) {
	err = s.parse(b, protocol)
	return s, err
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, messageSize-1))
	f.Add(diagMessage(unix.AF_INET, netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2")))
	f.Add(append(diagMessage(unix.AF_INET6, netip.MustParseAddrPort("[::]:1"), netip.MustParseAddrPort("[::]:0")), 5, 0, 11, 0, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parsed(b, unix.IPPROTO_TCP); (err == nil) != (len(b) >= messageSize) {
			t.Errorf("%d bytes: error %v", len(b), err)
		}
	})
}

// diagMessage is a struct inet_diag_msg, spelled out by its offsets.
func diagMessage(family byte, local, peer netip.AddrPort) []byte {
	b := make([]byte, 72)
	b[0], b[1] = family, established
	b[4], b[5] = byte(local.Port()>>8), byte(local.Port())
	b[6], b[7] = byte(peer.Port()>>8), byte(peer.Port())
	copy(b[8:], local.Addr().AsSlice())
	copy(b[24:], peer.Addr().AsSlice())
	put := func(at int, n uint32) { binary.NativeEndian.PutUint32(b[at:], n) }
	put(40, 9)
	put(44, 0x55667788)
	put(48, 0x11223344)
	put(56, 3)
	put(60, 4)
	put(64, 1000)
	put(68, 4242)
	return b
}
