package sockdiag

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// netlinkMessage is a header and what follows, padded.
func netlinkMessage(kind uint16, data []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(data)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, make([]byte, unix.SizeofNlMsghdr-len(b))...)
	b = append(b, data...)
	return append(b, make([]byte, -len(b)&3)...)
}

func negative(errno syscall.Errno) []byte {
	return binary.NativeEndian.AppendUint32(nil, uint32(-int32(errno)))
}

func TestTake(t *testing.T) {
	one := netlinkMessage(byFamily, diagMessage(unix.AF_INET, netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2")))
	attributes := append(diagMessage(unix.AF_INET6, netip.MustParseAddrPort("[::]:80"), netip.MustParseAddrPort("[::]:0")), 5, 0, 11, 0, 1)
	two := netlinkMessage(byFamily, attributes)
	done := netlinkMessage(unix.NLMSG_DONE, negative(0))
	for name, test := range map[string]struct {
		datagram []byte
		sockets  int
		done     bool
		err      error
	}{
		"two and the end":       {slices.Concat(one, two, done), 2, true, nil},
		"more will come":        {slices.Concat(two, one), 2, false, nil},
		"nothing after the end": {slices.Concat(done, one), 0, true, nil},
		"the end says why":      {slices.Concat(one, netlinkMessage(unix.NLMSG_DONE, negative(unix.ENOMEM))), 1, true, unix.ENOMEM},
		"an error":              {netlinkMessage(unix.NLMSG_ERROR, negative(unix.EPERM)), 0, true, unix.EPERM},
		"half an error":         {netlinkMessage(unix.NLMSG_ERROR, []byte{1, 2}), 0, true, errCutOff},
		"cut off":               {slices.Concat(one, two[:60]), 1, false, errCutOff},
		"a length of nothing":   {make([]byte, 16), 0, false, errCutOff},
	} {
		sockets := 0
		a := answer{protocol: unix.IPPROTO_TCP, visit: func(*Socket) { sockets++ }}
		err := a.take(test.datagram)
		equal(t, name+": sockets", sockets, test.sockets)
		equal(t, name+": done", a.done, test.done)
		if !errors.Is(err, test.err) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func FuzzTake(f *testing.F) {
	f.Add(netlinkMessage(byFamily, diagMessage(unix.AF_INET, netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2"))))
	f.Add(netlinkMessage(unix.NLMSG_DONE, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		sockets := 0
		a := answer{protocol: unix.IPPROTO_TCP, visit: func(*Socket) { sockets++ }}
		a.take(b)
		if sockets > len(b)/(unix.SizeofNlMsghdr+messageSize) {
			t.Errorf("%d sockets in %d bytes", sockets, len(b))
		}
	})
}

// A million sockets must not be a million allocations.
func TestTakeDoesNotAllocate(t *testing.T) {
	datagram := slices.Concat(
		netlinkMessage(byFamily, diagMessage(unix.AF_INET, netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2"))),
		netlinkMessage(byFamily, diagMessage(unix.AF_INET6, netip.MustParseAddrPort("[fd00::1]:1"), netip.MustParseAddrPort("[fd00::2]:2"))))
	a := answer{protocol: unix.IPPROTO_TCP, visit: func(*Socket) {}}
	equal(t, "allocations", testing.AllocsPerRun(100, func() { a.take(datagram) }), 0)
}

// A kernel without the older request is asked by family.
func TestOtherwise(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	unknown := request{message(99, nil), Query{}.requests()[0].otherwise}
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	found := false
	err = unknown.each(conn, unix.IPPROTO_TCP, func(s *Socket) { found = found || s.Local == l })
	if err != nil || !found {
		t.Errorf("found %t, %v", found, err)
	}
	unknown.otherwise = nil
	if err := unknown.each(conn, unix.IPPROTO_TCP, func(*Socket) {}); !isUnknown(err) {
		t.Errorf("error %v", err)
	}
}

func TestPortRange(t *testing.T) {
	ports := []uint16{listen(t, "127.0.0.1:0").Port(), listen(t, "[::1]:0").Port(), listen(t, "127.0.0.1:0").Port()}
	slices.Sort(ports)
	seen := func(low, high uint16) (seen [3]bool) {
		for _, s := range dump(t, Query{LowPort: low, HighPort: high}) {
			if s.Local.Port() < low || s.Local.Port() > high {
				t.Errorf("%v is not from %d to %d", s.Local, low, high)
			}
			if i := slices.Index(ports, s.Local.Port()); i >= 0 {
				seen[i] = true
			}
		}
		return seen
	}
	equal(t, "all", seen(ports[0], ports[2]), [3]bool{true, true, true})
	equal(t, "the lowest alone", seen(ports[0], ports[0]), [3]bool{true, false, false})
	equal(t, "above the lowest", seen(ports[0]+1, ports[2]), [3]bool{false, true, true})
	equal(t, "below the highest", seen(ports[0], ports[2]-1), [3]bool{true, true, false})
}

// Either way of asking gives the same sockets.
func TestBothRequestsAgree(t *testing.T) {
	_, client := pair(t, "127.0.0.1:0")
	six := listen(t, "[::1]:0")
	for _, q := range []Query{
		{LocalPort: client.Port()}, {PeerPort: client.Port()}, {LocalPort: six.Port()},
		{LocalPort: six.Port(), States: 1 << listening}, {LowPort: client.Port(), HighPort: client.Port()},
	} {
		old, byFamilies := answers(t, q.requests()), answers(t, q.requests()[0].otherwise)
		if len(old) == 0 || !slices.Equal(old, byFamilies) {
			t.Errorf("%+v: %v, by family %v", q, old, byFamilies)
		}
	}
}

func answers(t *testing.T, requests []request) (all []Socket) {
	t.Helper()
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, r := range requests {
		if err := r.each(conn, unix.IPPROTO_TCP, func(s *Socket) { all = append(all, *s) }); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(all, func(a, b Socket) int { return int(int64(a.Cookie) - int64(b.Cookie)) })
	return all
}

func BenchmarkTake(b *testing.B) {
	one := netlinkMessage(byFamily, diagMessage(unix.AF_INET, netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2")))
	const sockets = 256
	datagram := slices.Repeat(one, sockets)
	a := answer{protocol: unix.IPPROTO_TCP, visit: func(*Socket) {}}
	b.ReportAllocs()
	for b.Loop() {
		if err := a.take(datagram); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/sockets, "ns/socket")
}
