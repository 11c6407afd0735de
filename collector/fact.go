package collector

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Kind says what a fact is: the "kind" of a JSON line, first in it.
type Kind string

// The kinds of facts, in the contract's spelling.
const (
	KindConnection   Kind = "connection"
	KindLimitHit     Kind = "limit_hit"
	KindBindConflict Kind = "bind_conflict"
	KindTimeWait     Kind = "time_wait"
	KindState        Kind = "state"
	KindFailures     Kind = "connect_failures"
)

// A Fact is one thing that is known to have happened: *Connection, *LimitHit,
// *BindConflict, *TimeWait, *StateChange or *ConnectFailures.
//
// A fact is lent to its sinks for the length of one Accept call and reused
// after it; a sink that keeps it keeps a copy.
type Fact interface {
	Kind() Kind
	// Visit tells every known field in the vocabulary's order and leaves out
	// what is not known. JSON keys and span attributes both come from here.
	Visit(Visitor)
}

// A Visitor receives the fields of a fact, or of anything nested in one.
type Visitor interface {
	String(key, value string)
	Int(key string, value int64)
	Uint(key string, value uint64)
	// Float takes a finite number; a sink leaves out any other.
	Float(key string, value float64)
	Bool(key string, value bool)
	Time(key string, value time.Time)
	// Object tells one nested object.
	Object(key string, visit func(Visitor))
	// List tells a list of n nested objects, the i-th by item.
	List(key string, n int, item func(i int, v Visitor))
}

// A Writer is a Visitor that writes values down at once: it can do without a string
// made of each, and with what it has written before. To others all is told in strings
// and lists.
type Writer interface {
	Addr(key string, value netip.Addr)
	// Bytes are lent for the length of the call.
	Bytes(key string, value []byte)
	// States are a list of their names (KeyState) and times ("at_ns").
	States(key string, states []StateAt)
	// Owner's fields are those that visit tells.
	Owner(o *Owner, visit func(*Owner, Visitor))
}

// A Sink takes facts. The collector calls it from its one goroutine, so it must
// not block: a slow sink queues, drops, and counts what it dropped.
type Sink interface {
	Accept(Fact)
}

// Owner is the task that acted, captured in its own context. PID 0 is unknown.
type Owner struct {
	PID    uint32 // thread group, in the initial pid namespace
	UID    uint32
	Cgroup uint64   // id in the cgroup v2 hierarchy
	Comm   [16]byte // of the process's first thread; TASK_COMM_LEN, NUL-padded
}

// Known reports whether a task was captured at all.
func (o *Owner) Known() bool { return o.PID != 0 }

// Name is the process's comm.
func (o *Owner) Name() string { return cString(o.Comm[:]) }

// Role is the part an endpoint plays in its connection.
type Role uint8

// The roles, numbered as in bpf/event.h. An endpoint older than brink has
// RoleUnknown; RoleListener is told by a StateChange alone.
const (
	RoleUnknown Role = iota
	RoleClient
	RoleServer
	RoleListener
)

var roleNames = [...]string{"", "client", "server", "listener"}

// String is the value of brink.role; empty for RoleUnknown.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return ""
}

// StateAt is a TCP state and the time it was entered.
type StateAt struct {
	State State
	At    time.Duration // since the endpoint's Start
}

// Connection is one endpoint's whole life, told once, at its end.
type Connection struct {
	Role        Role
	Start, End  time.Time
	Duration    time.Duration
	Local, Peer netip.AddrPort
	Netns       uint32 // inode number of the network namespace; 0 unknown
	Owner       Owner
	Errno       unix.Errno // 0: it ended without an error
	Failure     Failure
	// Preexisting marks a socket older than brink: its birth was not seen.
	Preexisting bool
	// Abandoned: closed by its own program before the handshake was over.
	Abandoned     bool
	Retransmits   uint32
	BytesSent     uint64 // payload, retransmissions not counted again
	BytesReceived uint64
	// InitialLocal and InitialPeer are the two initial sequence numbers,
	// known to both ends: where a trace ID comes from. 0, 0 if the connection
	// was never established.
	InitialLocal, InitialPeer uint32
	Hook                      Hook // which hook told of the end

	states  [maxStates]StateAt
	nStates int
}

// States are the states it went through, in order, with the last one at the
// end: closed, or time_wait or fin_wait_2 where a timewait socket lives on.
func (c *Connection) States() []StateAt { return c.states[:c.nStates] }

// Established reports whether the handshake was completed.
func (c *Connection) Established() bool {
	for _, s := range c.States() {
		if s.State == Established {
			return true
		}
	}
	return false
}

// LimitHit is one refusal by the kernel, told at once.
type LimitHit struct {
	Time        time.Time
	Limit       Limit
	Errno       unix.Errno // 0 where the kernel gives the program none
	Used, Max   uint64     // at that moment; Max 0 is unknown
	Low, High   uint16     // the ports to choose from, where none was left
	Outcome     Outcome    // where there is no errno
	Count       uint64     // refusals told by this fact: 1, or more when polled
	Role        Role
	Transport   Transport
	Local, Peer netip.AddrPort // zero where not known
	Netns       uint32
	Owner       Owner
	Hook        Hook
}

// ConnectFailures are connects that failed in a storm: a process whose connects
// fail alike faster than they are told one by one.
type ConnectFailures struct {
	Time    time.Time
	Failure Failure
	Errno   unix.Errno
	Count   uint64
	Netns   uint32
	Owner   Owner
}

// TimeWaitEvent is a step in the life of a timewait socket.
type TimeWaitEvent uint8

// The steps, as the contract spells them. Reuse is told with who reused it.
const (
	TimeWaitEnter TimeWaitEvent = iota
	TimeWaitLeave
	TimeWaitReuseConnect
	TimeWaitReuseSYN
	TimeWaitOverflow
)

var timeWaitEventNames = [...]string{"enter", "leave", "reuse", "reuse", "overflow"}

// String is the value of "event".
func (e TimeWaitEvent) String() string {
	if int(e) < len(timeWaitEventNames) {
		return timeWaitEventNames[e]
	}
	return ""
}

// TimeWait is one step of the tuple's second life.
type TimeWait struct {
	Time        time.Time
	Event       TimeWaitEvent
	State       State // TimeWaitState, or FinWait2 for an orphan's kind
	Local, Peer netip.AddrPort
	Netns       uint32
	Owner       Owner // of the endpoint that entered; unknown for other steps
	Hook        Hook
}

// StateChange is one transition, told only when asked for.
type StateChange struct {
	Time        time.Time
	Old, New    State
	Role        Role
	Local, Peer netip.AddrPort
	Netns       uint32
	Owner       Owner
	Socket      uint64 // the same for all changes of one socket
}

// Kind is KindConnection.
func (*Connection) Kind() Kind { return KindConnection }

// Kind is KindLimitHit.
func (*LimitHit) Kind() Kind { return KindLimitHit }

// Kind is KindTimeWait.
func (*TimeWait) Kind() Kind { return KindTimeWait }

// Kind is KindFailures.
func (*ConnectFailures) Kind() Kind { return KindFailures }

// Kind is KindState.
func (*StateChange) Kind() Kind { return KindState }
