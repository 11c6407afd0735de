package otlp

import (
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"brink/bpf"
	"brink/collector"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

// booted is the wall clock's time at the records' time zero.
var booted = time.Unix(1_800_000_000, 0).UTC()

func at(sinceBoot time.Duration) time.Time { return booted.Add(sinceBoot) }

var (
	clientAddress = netip.MustParseAddrPort("10.0.0.1:40000")
	serverAddress = netip.MustParseAddrPort("10.0.0.2:80")
)

// An end is one endpoint's life: SYN at 1 s, established at 2 s, FIN at 4 s,
// over at 5 s after boot, as the kernel would report it.
type end struct {
	role                collector.Role
	local, peer         netip.AddrPort
	isnLocal, isnPeer   uint32
	netns               uint32
	errno               unix.Errno
	timeWait, finWait2  bool
	neverEstablished    bool
	handshakeTookLonger time.Duration
	after               time.Duration // later than all of that
	failure             collector.Failure
	retransmits         uint32
	abandoned           bool
	preexisting         bool
}

func client() end {
	return end{role: collector.RoleClient, local: clientAddress, peer: serverAddress,
		isnLocal: 0x11223344, isnPeer: 0x99aabbcc}
}

// server is the other end of client, seen through NAT on both sides.
func server() end {
	return end{role: collector.RoleServer,
		local:    netip.MustParseAddrPort("192.168.7.7:8080"),
		peer:     netip.MustParseAddrPort("203.0.113.9:61001"),
		isnLocal: 0x99aabbcc, isnPeer: 0x11223344}
}

// refused is a client whose SYN was answered with a reset.
func refused() end {
	e := client()
	e.isnLocal, e.isnPeer, e.neverEstablished = 0, 0, true
	e.errno = unix.ECONNREFUSED
	return e
}

// tell has the collector's table make facts of the end and hands them on.
func (e end) tell(t testing.TB, to func(collector.Fact)) {
	t.Helper()
	r := e.record()
	apply(t, unsafe.Slice((*byte)(unsafe.Pointer(&r)), unsafe.Sizeof(r)), to)
}

func (e end) record() (r bpf.BrinkEndpointEnded) {
	r.Header.Kind = bpf.BrinkEventKindEVENT_ENDPOINT_ENDED
	r.Ended = uint64(5*time.Second + e.after)
	r.Failure, r.Retransmits = uint8(e.failure), e.retransmits
	r.Error = uint32(e.errno)
	p := &r.Endpoint
	p.Tuple = tupleRecord(e.local, e.peer)
	p.IsnLocal, p.IsnPeer, p.Netns, p.Role = e.isnLocal, e.isnPeer, e.netns, uint8(e.role)
	p.Owner.Pid, p.Owner.Uid = 4711, 1000
	copy((*[16]byte)(unsafe.Pointer(&p.Owner.Comm))[:], "curl")
	first := bpf.BrinkStageSTAGE_SYN_SENT
	if e.role == collector.RoleServer {
		first = bpf.BrinkStageSTAGE_SYN_RECV
	}
	p.At[first] = uint64(time.Second + e.after)
	if !e.neverEstablished {
		p.At[bpf.BrinkStageSTAGE_ESTABLISHED] = uint64(2*time.Second + e.handshakeTookLonger + e.after)
		p.At[bpf.BrinkStageSTAGE_FIN_WAIT1] = uint64(4*time.Second + e.after)
	}
	if e.abandoned {
		p.Flags |= uint8(bpf.BrinkEndpointFlagENDPOINT_ABANDONED)
	}
	if e.preexisting {
		p.Flags |= uint8(bpf.BrinkEndpointFlagENDPOINT_PARTIAL)
	}
	if e.timeWait {
		p.Flags |= uint8(bpf.BrinkEndpointFlagENDPOINT_TIME_WAIT)
	}
	if e.finWait2 {
		p.At[bpf.BrinkStageSTAGE_FIN_WAIT2] = uint64(5*time.Second + e.after)
		p.Flags |= uint8(bpf.BrinkEndpointFlagENDPOINT_TIME_WAIT_FIN_WAIT2)
	}
	return r
}

// step is a later step of the end's timewait socket.
func (e end) step(t testing.TB, event collector.TimeWaitEvent, when time.Duration, to func(collector.Fact)) {
	t.Helper()
	to(&collector.TimeWait{
		Time: at(when), Event: event, State: collector.TimeWaitState,
		Local: e.local, Peer: e.peer, Netns: e.netns,
	})
}

func apply(t testing.TB, raw []byte, to func(collector.Fact)) {
	t.Helper()
	if err := collector.NewTable(booted).Apply(raw, to); err != nil {
		t.Fatal(err)
	}
}

func tupleRecord(local, peer netip.AddrPort) (r bpf.BrinkTuple) {
	r.Family, r.LocalPort, r.PeerPort = unix.AF_INET, local.Port(), peer.Port()
	l, p := local.Addr().As4(), peer.Addr().As4()
	copy(r.Local[:], l[:])
	copy(r.Peer[:], p[:])
	return r
}

func aLimitHit() *collector.LimitHit {
	return &collector.LimitHit{
		Time: at(7 * time.Second), Limit: limits.EphemeralPorts, Errno: unix.EADDRNOTAVAIL,
		Used: 200, Max: 200, Count: 1, Peer: serverAddress, Owner: collector.Owner{PID: 12},
	}
}

func aBindConflict() *collector.BindConflict {
	return &collector.BindConflict{
		Time: at(8 * time.Second), Errno: unix.EADDRINUSE, Local: serverAddress,
		Holders: []collector.Holder{
			{PID: 77, Name: "nginx", State: collector.Listen, Local: serverAddress},
			{State: collector.TimeWaitState, Local: serverAddress, Peer: clientAddress},
		},
	}
}
