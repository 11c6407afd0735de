package collector

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// The vocabulary: OpenTelemetry's semantic conventions where they have a word,
// brink.* where they do not. Every sink speaks it through Visit.
const (
	KeyTransport     = "network.transport"
	KeyType          = "network.type"
	KeyLocalAddress  = "network.local.address"
	KeyLocalPort     = "network.local.port"
	KeyPeerAddress   = "network.peer.address"
	KeyPeerPort      = "network.peer.port"
	KeyState         = "network.connection.state"
	KeyPID           = "process.pid"
	KeyProcess       = "process.executable.name"
	KeyUID           = "process.user.id"
	KeyCgroup        = "process.linux.cgroup"
	KeyErrorType     = "error.type"
	KeyErrno         = "brink.errno"
	KeyRole          = "brink.role"
	KeyNetns         = "brink.netns"
	KeyStates        = "brink.states"
	KeyLimit         = "brink.limit"
	KeyLimitMax      = "brink.limit.max"
	KeyLimitUsed     = "brink.limit.used"
	KeyLimitKnob     = "brink.limit.knob"
	KeyOutcome       = "brink.outcome"
	KeyFailure       = "brink.failure"
	KeyContainer     = "container.id"
	KeyRuntime       = "container.runtime.name"
	KeyPodUID        = "k8s.pod.uid"
	KeyUnit          = "brink.systemd.unit"
	KeyPodName       = "k8s.pod.name"
	KeyPodNamespace  = "k8s.namespace.name"
	KeyCount         = "brink.count"
	KeyHolders       = "brink.holders"
	KeyTimeWaitKind  = "brink.time_wait.kind"
	KeyReusedBy      = "brink.time_wait.reused_by"
	KeyPreexisting   = "brink.preexisting"
	KeyAbandoned     = "brink.abandoned"
	KeyRetransmits   = "brink.retransmits"
	KeyBytesSent     = "brink.bytes_sent"
	KeyBytesReceived = "brink.bytes_received"
)

// Visit implements Fact.
func (c *Connection) Visit(v Visitor) {
	if !c.Start.IsZero() {
		v.Time("start_time", c.Start)
	}
	v.Time("end_time", c.End)
	if !c.Start.IsZero() {
		v.Int("duration_ns", int64(c.Duration))
	}
	visitString(v, KeyRole, c.Role.String())
	visitTuple(v, TCP, c.Local, c.Peer)
	c.Owner.visit(v)
	visitNetns(v, c.Netns)
	c.visitStates(v)
	visitErrorType(v, c.Errno)
	visitErrno(v, c.Errno)
	visitString(v, KeyFailure, c.Failure.String())
	if c.Established() {
		v.Uint(KeyBytesSent, c.BytesSent)
		v.Uint(KeyBytesReceived, c.BytesReceived)
	}
	if c.Retransmits > 0 {
		v.Uint(KeyRetransmits, uint64(c.Retransmits))
	}
	visitTrue(v, KeyPreexisting, c.Preexisting)
	visitTrue(v, KeyAbandoned, c.Abandoned)
}

func (c *Connection) visitStates(v Visitor) {
	if c.nStates == 0 {
		return
	}
	if w, ok := v.(Writer); ok {
		w.States(KeyStates, c.States())
		return
	}
	v.List(KeyStates, c.nStates, func(i int, v Visitor) {
		v.String(KeyState, c.states[i].State.String())
		v.Int("at_ns", int64(c.states[i].At))
	})
}

// Visit implements Fact.
func (h *LimitHit) Visit(v Visitor) {
	v.Time("time", h.Time)
	v.String(KeyLimit, h.Limit.String())
	visitErrno(v, h.Errno)
	visitErrorType(v, h.Errno)
	if h.Max > 0 {
		v.Uint(KeyLimitMax, h.Max)
	}
	if h.Used > 0 {
		v.Uint(KeyLimitUsed, h.Used)
	}
	if h.Count > 1 {
		v.Uint(KeyCount, h.Count)
	}
	visitString(v, KeyOutcome, h.Outcome.String())
	visitString(v, KeyLimitKnob, h.Limit.Entry().Knob)
	visitString(v, KeyRole, h.Role.String())
	if h.Transport == UDP && !h.Local.IsValid() && !h.Peer.IsValid() {
		v.String(KeyTransport, UDP.String()) // all that is known of a socket bound to nothing
	}
	visitTuple(v, h.Transport, h.Local, h.Peer)
	h.Owner.visit(v)
	visitNetns(v, h.Netns)
}

// Visit implements Fact.
func (t *TimeWait) Visit(v Visitor) {
	v.Time("time", t.Time)
	v.String("event", t.Event.String())
	v.String(KeyTimeWaitKind, t.State.String())
	switch t.Event {
	case TimeWaitReuseConnect:
		v.String(KeyReusedBy, "connect")
	case TimeWaitReuseSYN:
		v.String(KeyReusedBy, "syn")
	}
	visitTuple(v, TCP, t.Local, t.Peer)
	t.Owner.visit(v)
	visitNetns(v, t.Netns)
}

// Visit implements Fact.
func (f *ConnectFailures) Visit(v Visitor) {
	v.Time("time", f.Time)
	visitErrno(v, f.Errno)
	visitErrorType(v, f.Errno)
	visitString(v, KeyFailure, f.Failure.String())
	v.Uint(KeyCount, f.Count)
	f.Owner.visit(v)
	visitNetns(v, f.Netns)
}

// Visit implements Fact.
func (s *StateChange) Visit(v Visitor) {
	v.Time("time", s.Time)
	v.String("brink.state.old", s.Old.String())
	v.String(KeyState, s.New.String())
	visitString(v, KeyRole, s.Role.String())
	visitTuple(v, TCP, s.Local, s.Peer)
	s.Owner.visit(v)
	visitNetns(v, s.Netns)
}

func (o *Owner) visit(v Visitor) {
	if !o.Known() {
		return
	}
	if w, ok := v.(Writer); ok {
		w.Owner(o, (*Owner).visitFields)
	} else {
		o.visitFields(v)
	}
}

func (o *Owner) visitFields(v Visitor) {
	v.Uint(KeyPID, uint64(o.PID))
	o.visitName(v)
	v.Uint(KeyUID, uint64(o.UID))
	cgroup := cgroupOf(o.Cgroup)
	visitString(v, KeyCgroup, cgroup.path)
	place := cgroup.place
	visitString(v, KeyContainer, place.ContainerID)
	visitString(v, KeyRuntime, place.Runtime)
	visitString(v, KeyUnit, place.Unit)
	visitString(v, KeyPodUID, place.PodUID)
	pod := PodOf(place.PodUID)
	visitString(v, KeyPodName, pod.Name)
	visitString(v, KeyPodNamespace, pod.Namespace)
}

func (o *Owner) visitName(v Visitor) {
	name := untilNUL(o.Comm[:])
	if w, ok := v.(Writer); !ok {
		visitString(v, KeyProcess, string(name))
	} else if len(name) > 0 {
		w.Bytes(KeyProcess, name)
	}
}

func visitTuple(v Visitor, transport Transport, local, peer netip.AddrPort) {
	if !local.IsValid() && !peer.IsValid() {
		return
	}
	v.String(KeyTransport, transport.String())
	v.String(KeyType, networkType(local, peer))
	visitAddress(v, KeyLocalAddress, KeyLocalPort, local)
	visitAddress(v, KeyPeerAddress, KeyPeerPort, peer)
}

func networkType(local, peer netip.AddrPort) string {
	if local.Addr().Is4() || peer.Addr().Is4() {
		return "ipv4"
	}
	return "ipv6"
}

func visitAddress(v Visitor, address, port string, a netip.AddrPort) {
	if !a.IsValid() {
		return
	}
	if w, ok := v.(Writer); ok {
		w.Addr(address, a.Addr())
	} else {
		v.String(address, a.Addr().String())
	}
	if a.Port() != 0 {
		v.Uint(port, uint64(a.Port()))
	}
}

// An errno that has no name (the kernel's own, from 512 on) is left out; its
// error.type is not.
func visitErrno(v Visitor, errno unix.Errno) {
	if errno != 0 {
		visitString(v, KeyErrno, unix.ErrnoName(errno))
	}
}

func visitErrorType(v Visitor, errno unix.Errno) {
	if errno != 0 {
		v.String(KeyErrorType, ErrorType(errno))
	}
}

func visitNetns(v Visitor, netns uint32) {
	if netns != 0 {
		v.Uint(KeyNetns, uint64(netns))
	}
}

func visitString(v Visitor, key, value string) {
	if value != "" {
		v.String(key, value)
	}
}

func visitTrue(v Visitor, key string, value bool) {
	if value {
		v.Bool(key, true)
	}
}
