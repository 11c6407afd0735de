package collector

import (
	"net/netip"
	"unsafe"

	"brink/bpf"

	"golang.org/x/sys/unix"
)

// Short names for what bpf2go mirrors from event.h.
const (
	flagPartial          = uint8(bpf.BrinkEndpointFlagENDPOINT_PARTIAL)
	flagAbandoned        = uint8(bpf.BrinkEndpointFlagENDPOINT_ABANDONED)
	flagTimeWait         = uint8(bpf.BrinkEndpointFlagENDPOINT_TIME_WAIT)
	flagTimeWaitFinWait2 = uint8(bpf.BrinkEndpointFlagENDPOINT_TIME_WAIT_FIN_WAIT2)
	flagTimeWaitOverflow = uint8(bpf.BrinkEndpointFlagENDPOINT_TIME_WAIT_OVERFLOW)
)

var stageStates = [bpf.BrinkStageSTAGE_COUNT]State{
	bpf.BrinkStageSTAGE_SYN_SENT:    SynSent,
	bpf.BrinkStageSTAGE_SYN_RECV:    SynRecv,
	bpf.BrinkStageSTAGE_ESTABLISHED: Established,
	bpf.BrinkStageSTAGE_FIN_WAIT1:   FinWait1,
	bpf.BrinkStageSTAGE_FIN_WAIT2:   FinWait2,
	bpf.BrinkStageSTAGE_CLOSE_WAIT:  CloseWait,
	bpf.BrinkStageSTAGE_LAST_ACK:    LastAck,
	bpf.BrinkStageSTAGE_CLOSING:     Closing,
}

var timeWaitEvents = [...]TimeWaitEvent{
	bpf.BrinkTimeWaitEventTIME_WAIT_ENTER:         TimeWaitEnter,
	bpf.BrinkTimeWaitEventTIME_WAIT_LEAVE:         TimeWaitLeave,
	bpf.BrinkTimeWaitEventTIME_WAIT_REUSE_CONNECT: TimeWaitReuseConnect,
	bpf.BrinkTimeWaitEventTIME_WAIT_REUSE_SYN:     TimeWaitReuseSYN,
}

func ownerOf(o *bpf.BrinkOwner) Owner {
	return Owner{
		PID: o.Pid, UID: o.Uid, Cgroup: o.Cgroup,
		Comm: *(*[16]byte)(unsafe.Pointer(&o.Comm)),
	}
}

// addresses are both ends of a tuple, zero where the kernel had none yet: no
// family, or neither an address nor a port.
func addresses(t *bpf.BrinkTuple) (local, peer netip.AddrPort) {
	return address(t.Family, &t.Local, t.LocalPort), address(t.Family, &t.Peer, t.PeerPort)
}

func address(family uint16, bytes *[16]byte, port uint16) netip.AddrPort {
	var a netip.Addr
	switch family {
	case unix.AF_INET:
		a = netip.AddrFrom4([4]byte(bytes[:4]))
	case unix.AF_INET6:
		a = netip.AddrFrom16(*bytes).Unmap()
	default:
		return netip.AddrPort{}
	}
	if port == 0 && a.IsUnspecified() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, port)
}

func transportOf(t *bpf.BrinkTuple) Transport {
	if t.Protocol == unix.IPPROTO_UDP {
		return UDP
	}
	return TCP
}

func optionsOf(b *bpf.BrinkBindOptions) SocketOptions {
	return SocketOptions{ReuseAddr: b.Reuse != 0, ReusePort: b.Reuseport != 0, V6Only: b.V6only != 0, Device: b.Device}
}
