package collector

import (
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"brink/bpf"

	"golang.org/x/sys/unix"
)

// booted is the wall clock's time at the records' time zero.
var booted = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var (
	clientEnd = netip.MustParseAddrPort("10.0.0.1:40000")
	serverEnd = netip.MustParseAddrPort("10.0.0.2:80")
)

// raw are the bytes of a record as the ring buffer would lend them.
func raw[T any](r T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&r)), unsafe.Sizeof(r))
}

func ms(n uint64) uint64 { return n * uint64(time.Millisecond) }

// clientLife is a client that closes first: SYN_SENT at 1000 ms after boot,
// over at 1009 ms.
func clientLife(edit ...func(*bpf.BrinkEndpointEnded)) []byte {
	r := bpf.BrinkEndpointEnded{Ended: ms(1009), BytesSent: 7, BytesReceived: 5, Retransmits: 1, Cookie: 99}
	r.Header.Kind, r.Header.Hook = bpf.BrinkEventKindEVENT_ENDPOINT_ENDED, bpf.BrinkHookHOOK_STATE
	r.LastState = uint32(FinWait2)
	e := &r.Endpoint
	e.Role, e.Netns, e.IsnLocal, e.IsnPeer = uint8(RoleClient), 4026531840, 11, 22
	e.Tuple, e.Owner = tupleOf(clientEnd, serverEnd), ownerRecord(812, "curl")
	e.At[bpf.BrinkStageSTAGE_SYN_SENT] = ms(1000)
	e.At[bpf.BrinkStageSTAGE_ESTABLISHED] = ms(1002)
	e.At[bpf.BrinkStageSTAGE_FIN_WAIT1] = ms(1007)
	e.At[bpf.BrinkStageSTAGE_FIN_WAIT2] = ms(1008)
	for _, f := range edit {
		f(&r)
	}
	return raw(r)
}

// serverLife is the other end, which its peer closes.
func serverLife(edit ...func(*bpf.BrinkEndpointEnded)) []byte {
	return clientLife(append([]func(*bpf.BrinkEndpointEnded){func(r *bpf.BrinkEndpointEnded) {
		e := &r.Endpoint
		e.Role, e.Tuple, e.Owner = uint8(RoleServer), tupleOf(serverEnd, clientEnd), ownerRecord(7, "nginx")
		e.At = [8]uint64{}
		e.At[bpf.BrinkStageSTAGE_SYN_RECV] = ms(1001)
		e.At[bpf.BrinkStageSTAGE_ESTABLISHED] = ms(1003)
		e.At[bpf.BrinkStageSTAGE_CLOSE_WAIT] = ms(1007)
		e.At[bpf.BrinkStageSTAGE_LAST_ACK] = ms(1008)
	}}, edit...)...)
}

// olderLife is a socket whose birth was not seen.
func olderLife(cookie uint64) []byte {
	return clientLife(func(r *bpf.BrinkEndpointEnded) {
		r.Cookie = cookie
		r.Endpoint.Role, r.Endpoint.Flags = uint8(RoleUnknown), flagPartial
		r.Endpoint.At, r.Endpoint.Owner = [8]uint64{}, bpf.BrinkOwner{}
	})
}

func refusal(limit Limit, errno unix.Errno, edit ...func(*bpf.BrinkRefused)) []byte {
	r := bpf.BrinkRefused{At: ms(1500), Netns: 1, Limit: bpf.BrinkLimit(limit), Error: uint32(errno)}
	r.Header.Kind, r.Header.Hook = bpf.BrinkEventKindEVENT_REFUSED, bpf.BrinkHookHOOK_PORT_CHOICE
	r.Owner = ownerRecord(812, "curl")
	for _, f := range edit {
		f(&r)
	}
	return raw(r)
}

func timeWaitStep(event bpf.BrinkTimeWaitEvent, substate State) []byte {
	r := bpf.BrinkTimeWait{At: ms(2000), Netns: 1, Event: event, Substate: uint32(substate)}
	r.Header.Kind, r.Header.Hook = bpf.BrinkEventKindEVENT_TIME_WAIT, bpf.BrinkHookHOOK_TIME_WAIT_LEAVE
	r.Tuple = tupleOf(clientEnd, serverEnd)
	return raw(r)
}

func stateChange(from, to State, role bpf.BrinkRole) []byte {
	r := bpf.BrinkStateChanged{At: ms(3000), Socket: 0xffff8880, Netns: 1, OldState: uint32(from), NewState: uint32(to), Role: role}
	r.Header.Kind, r.Header.Hook = bpf.BrinkEventKindEVENT_STATE_CHANGED, bpf.BrinkHookHOOK_STATE
	r.Tuple, r.Owner = tupleOf(clientEnd, serverEnd), ownerRecord(812, "curl")
	return raw(r)
}

func ownerRecord(pid uint32, name string) bpf.BrinkOwner {
	o := bpf.BrinkOwner{Pid: pid, Uid: 1000}
	copy((*[16]byte)(unsafe.Pointer(&o.Comm))[:], name)
	return o
}

func tupleOf(local, peer netip.AddrPort) bpf.BrinkTuple {
	t := bpf.BrinkTuple{LocalPort: local.Port(), PeerPort: peer.Port(), Family: unix.AF_INET}
	if local.Addr().Is4() {
		copy(t.Local[:], local.Addr().AsSlice())
		copy(t.Peer[:], peer.Addr().AsSlice())
		return t
	}
	t.Family = unix.AF_INET6
	t.Local, t.Peer = local.Addr().As16(), peer.Addr().As16()
	return t
}

// applied are copies of the facts that follow from one record.
func applied(t testing.TB, table *Table, record []byte) (facts []Fact) {
	t.Helper()
	if err := table.Apply(record, func(f Fact) { facts = append(facts, kept(f)) }); err != nil {
		t.Fatal(err)
	}
	return facts
}

// only is the one fact that follows from a record, of the kind wanted.
func only[F Fact](t testing.TB, table *Table, record []byte) F {
	t.Helper()
	facts := applied(t, table, record)
	if len(facts) != 1 {
		t.Fatalf("%d facts, want one: %v", len(facts), facts)
	}
	f, ok := facts[0].(F)
	if !ok {
		t.Fatalf("got a %s", facts[0].Kind())
	}
	return f
}

// kept copies a fact, as a sink that keeps it has to.
func kept(f Fact) Fact {
	switch f := f.(type) {
	case *Connection:
		c := *f
		return &c
	case *LimitHit:
		h := *f
		return &h
	case *BindConflict:
		b := *f
		return &b
	case *TimeWait:
		w := *f
		return &w
	case *StateChange:
		s := *f
		return &s
	}
	return f
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
