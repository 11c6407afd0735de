package sockdiag

import (
	"encoding/binary"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Message types of include/uapi/linux/sock_diag.h and inet_diag.h.
const (
	tcpGetSock = 18 // TCPDIAG_GETSOCK
	byFamily   = 20 // SOCK_DIAG_BY_FAMILY
)

// sizeof(struct inet_diag_req), sizeof(struct inet_diag_req_v2)
const (
	oldRequestSize = 60
	requestSize    = 56
)

const allStates = ^uint32(0)

// A request is a message to ask with, and where it is not understood another.
type request struct {
	netlink.Message
	otherwise []request
}

// requests are what to ask. A dump of TCP goes through the whole table of
// established sockets, which a million of them make slow, and by family it does
// so twice. The older request takes no family and dumps both at once
// (inet_diag_dump_compat).
func (q Query) requests() []request {
	var families []request
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		families = append(families, request{Message: message(byFamily, q.marshal(family))})
	}
	if q.protocol() != unix.IPPROTO_TCP {
		return families
	}
	return []request{{message(tcpGetSock, q.marshalOld()), families}}
}

func message(kind netlink.HeaderType, data []byte) netlink.Message {
	return netlink.Message{Header: netlink.Header{Type: kind, Flags: netlink.Request | netlink.Dump}, Data: data}
}

// marshal is a struct inet_diag_req_v2.
func (q Query) marshal(family uint8) []byte {
	b := make([]byte, requestSize)
	b[0], b[1] = family, q.protocol()
	binary.NativeEndian.PutUint32(b[4:], q.states())
	q.putSocketID(b[8:])
	return append(b, q.portRange()...)
}

// marshalOld is a struct inet_diag_req: family, which is not looked at, two
// lengths, extensions, the socket's id, states, and a flag.
func (q Query) marshalOld() []byte {
	b := make([]byte, oldRequestSize)
	b[0] = unix.AF_INET
	q.putSocketID(b[4:])
	binary.NativeEndian.PutUint32(b[52:], q.states())
	return append(b, q.portRange()...)
}

func (q Query) states() uint32 {
	if q.States == 0 {
		return allStates
	}
	return q.States
}

// putSocketID writes a struct inet_diag_sockid.
func (q Query) putSocketID(b []byte) {
	binary.BigEndian.PutUint16(b, q.LocalPort)
	binary.BigEndian.PutUint16(b[2:], q.PeerPort)
	binary.NativeEndian.PutUint64(b[40:], ^uint64(0)) // INET_DIAG_NOCOOKIE
}

// Instructions of struct inet_diag_bc_op; each of these two is followed by one
// more, whose "no" is the port.
const (
	localPortAtLeast = 2 // INET_DIAG_BC_S_GE
	localPortAtMost  = 3 // INET_DIAG_BC_S_LE
)

// requestBytecode is INET_DIAG_REQ_BYTECODE.
const requestBytecode = 1

// portRange is the attribute with a program of two comparisons. A jump of 4 past
// the end refuses the socket (inet_diag_bc_run).
func (q Query) portRange() []byte {
	if q.HighPort == 0 {
		return nil
	}
	b := binary.NativeEndian.AppendUint16(nil, unix.SizeofNlAttr+16)
	b = binary.NativeEndian.AppendUint16(b, requestBytecode)
	b = appendComparison(b, localPortAtLeast, q.LowPort, 16+4)
	return appendComparison(b, localPortAtMost, q.HighPort, 8+4)
}

func appendComparison(b []byte, code uint8, port, otherwise uint16) []byte {
	b = append(b, code, 8)
	b = binary.NativeEndian.AppendUint16(b, otherwise)
	b = append(b, 0, 0)
	return binary.NativeEndian.AppendUint16(b, port)
}
