package jsonl

import (
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"brink/bpf"
	"brink/collector"
	"brink/collector/limits"
	"brink/collector/portrule"

	"golang.org/x/sys/unix"
)

// booted is the wall clock's time at the records' time zero.
var booted = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var (
	clientEnd  = netip.MustParseAddrPort("10.0.0.1:40000")
	serverEnd  = netip.MustParseAddrPort("10.0.0.2:80")
	clientEnd6 = netip.MustParseAddrPort("[2001:db8::1]:40000")
	serverEnd6 = netip.MustParseAddrPort("[2001:db8::2]:80")
)

func owner(pid, uid uint32, name string) (o collector.Owner) {
	o.PID, o.UID = pid, uid
	copy(o.Comm[:], name)
	return o
}

var curl = owner(812, 1000, "curl")

// connection is a client that closed first. Only the table fills in states, so
// it is made from a record, with lives given as stage and milliseconds.
func connection(t testing.TB, at map[bpf.BrinkStage]uint64, edit func(*collector.Connection)) *collector.Connection {
	t.Helper()
	r := bpf.BrinkEndpointEnded{Ended: 1009 * uint64(time.Millisecond)}
	r.Header.Kind = bpf.BrinkEventKindEVENT_ENDPOINT_ENDED
	for stage, ms := range at {
		r.Endpoint.At[stage] = ms * uint64(time.Millisecond)
	}
	var c collector.Connection
	keep := func(f collector.Fact) { c = *f.(*collector.Connection) }
	if err := collector.NewTable(booted).Apply(bytesOf(&r), keep); err != nil {
		t.Fatal(err)
	}
	c.Role, c.Local, c.Peer, c.Netns, c.Owner = collector.RoleClient, clientEnd, serverEnd, 4026531840, curl
	edit(&c)
	return &c
}

func bytesOf[T any](r *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(r)), unsafe.Sizeof(*r))
}

var wholeLife = map[bpf.BrinkStage]uint64{
	bpf.BrinkStageSTAGE_SYN_SENT: 1000, bpf.BrinkStageSTAGE_ESTABLISHED: 1002,
	bpf.BrinkStageSTAGE_FIN_WAIT1: 1007, bpf.BrinkStageSTAGE_FIN_WAIT2: 1008,
}

var handshakeOnly = map[bpf.BrinkStage]uint64{bpf.BrinkStageSTAGE_SYN_SENT: 1000}

type example struct {
	name string
	fact collector.Fact
}

// examples are one fact of each kind, and one for each field that may be absent.
func examples(t testing.TB) []example {
	when := booted.Add(1500 * time.Millisecond)
	return []example{
		{"connection", connection(t, wholeLife, func(c *collector.Connection) {
			c.BytesSent, c.BytesReceived = 7, 5
		})},
		{"connection_failed", connection(t, handshakeOnly, func(c *collector.Connection) {
			c.Errno, c.Failure = unix.ECONNREFUSED, collector.Refused
		})},
		{"connection_abandoned_ipv6", connection(t, handshakeOnly, func(c *collector.Connection) {
			c.Local, c.Peer, c.Abandoned, c.Retransmits = clientEnd6, serverEnd6, true, 2
		})},
		{"connection_without_local", connection(t, nil, func(c *collector.Connection) {
			c.Local, c.Errno = netip.AddrPort{}, unix.ENETUNREACH
		})},
		{"connection_without_owner", connection(t, wholeLife, func(c *collector.Connection) {
			c.Role, c.Owner, c.Netns = collector.RoleServer, collector.Owner{}, 0
		})},
		{"connection_preexisting", &collector.Connection{
			End: when, Local: clientEnd, Peer: serverEnd, Preexisting: true, Errno: unix.ECONNRESET,
		}},
		{"connection_errno_without_name", &collector.Connection{End: when, Errno: 512}},
		{"limit_hit", &collector.LimitHit{
			Time: when, Limit: limits.EphemeralPorts, Errno: unix.EADDRNOTAVAIL, Used: 200, Max: 200,
			Count: 1, Role: collector.RoleClient, Peer: serverEnd, Owner: curl, Netns: 1,
			Local: netip.AddrPortFrom(clientEnd.Addr(), 0),
		}},
		{"limit_hit_without_address", &collector.LimitHit{
			Time: when, Limit: limits.FileDescriptors, Errno: unix.EMFILE, Max: 1024, Count: 1, Owner: curl, Netns: 1,
		}},
		{"limit_hit_polled", &collector.LimitHit{
			Time: when, Limit: limits.AcceptQueue, Count: 3, Role: collector.RoleServer, Netns: 1,
		}},
		{"limit_hit_udp", &collector.LimitHit{
			Time: when, Limit: limits.EphemeralPorts, Errno: unix.EAGAIN, Used: 10, Max: 10, Low: 40000, High: 40009,
			Count: 1, Transport: collector.UDP, Local: netip.AddrPortFrom(clientEnd.Addr(), 0), Owner: curl, Netns: 1,
		}},
		{"limit_hit_syn_cookie", &collector.LimitHit{
			Time: when, Limit: limits.SYNQueue, Outcome: collector.SYNCookie, Used: 2, Max: 1, Count: 1,
			Role: collector.RoleServer, Local: serverEnd, Peer: clientEnd, Netns: 1,
		}},
		{"connect_failures", &collector.ConnectFailures{
			Time: when, Failure: collector.SYNTimeout, Errno: unix.ETIMEDOUT, Count: 999900, Netns: 1, Owner: curl,
		}},
		{"bind_conflict", &collector.BindConflict{
			Time: when, Errno: unix.EADDRINUSE, Local: netip.MustParseAddrPort("0.0.0.0:80"), Owner: curl, Netns: 1,
			Asked: collector.SocketOptions{ReuseAddr: true},
			Holders: []collector.Holder{
				{PID: 7, Name: "nginx", State: collector.Listen, Local: serverEnd, Rule: portrule.HolderListens},
				{
					State: collector.TimeWaitState, TimeWait: true, Local: serverEnd, Peer: clientEnd,
					Unknown: portrule.ReuseAddr | portrule.ReusePort, Rule: portrule.UnknownRule,
				},
			},
		}},
		{"bind_conflict_udp_ipv6", &collector.BindConflict{
			Time: when, Errno: unix.EADDRINUSE, Transport: collector.UDP, Local: netip.MustParseAddrPort("0.0.0.0:80"),
			Owner: curl, Unnamed: 3,
			Holders: []collector.Holder{{
				PID: 7, Name: "dns", UID: 1000, Transport: collector.UDP, State: collector.Closed,
				Local: netip.MustParseAddrPort("[::]:80"), Rule: portrule.DualStack,
			}},
		}},
		{"bind_conflict_without_holders", &collector.BindConflict{
			Time: when, Errno: unix.EADDRINUSE, Local: netip.MustParseAddrPort("[::]:80"), Owner: curl, Netns: 1,
		}},
		{"time_wait_enter", &collector.TimeWait{
			Time: when, Event: collector.TimeWaitEnter, State: collector.FinWait2,
			Local: clientEnd, Peer: serverEnd, Netns: 1, Owner: curl,
		}},
		{"time_wait_reuse", &collector.TimeWait{
			Time: when, Event: collector.TimeWaitReuseSYN, State: collector.TimeWaitState,
			Local: clientEnd, Peer: serverEnd, Netns: 1,
		}},
		{"time_wait_overflow", &collector.TimeWait{
			Time: when, Event: collector.TimeWaitOverflow, State: collector.TimeWaitState,
			Local: clientEnd, Peer: serverEnd, Netns: 1, Owner: curl,
		}},
		{"state", &collector.StateChange{
			Time: when, Old: collector.SynSent, New: collector.Established, Role: collector.RoleClient,
			Local: clientEnd, Peer: serverEnd, Netns: 1, Owner: curl, Socket: 1,
		}},
		{"state_listener", &collector.StateChange{
			Time: when, Old: collector.Closed, New: collector.Listen, Role: collector.RoleListener,
			Local: netip.MustParseAddrPort("0.0.0.0:80"), Netns: 1, Owner: curl,
		}},
		{"name_hostile", &collector.LimitHit{
			Time: when, Limit: limits.FileTable, Errno: unix.ENFILE, Count: 1,
			Owner: owner(1, 0, "\"}\n\\\x1b[31m\xff\u202e"),
		}},
	}
}
