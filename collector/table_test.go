package collector

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"brink/bpf"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

func since(n uint64) time.Time { return booted.Add(time.Duration(ms(n))) }

func TestClientLife(t *testing.T) {
	c := only[*Connection](t, NewTable(booted), clientLife())
	want := Connection{
		Role: RoleClient, Start: since(1000), End: since(1009), Duration: 9 * time.Millisecond,
		Local: clientEnd, Peer: serverEnd, Netns: 4026531840,
		Owner:       Owner{PID: 812, UID: 1000, Comm: [16]byte{'c', 'u', 'r', 'l'}},
		Retransmits: 1, BytesSent: 7, BytesReceived: 5,
		InitialLocal: 11, InitialPeer: 22, Hook: Hook(bpf.BrinkHookHOOK_STATE),
	}
	want.states, want.nStates = c.states, c.nStates
	equal(t, "connection", *c, want)
	equal(t, "established", c.Established(), true)
	equal(t, "name", c.Owner.Name(), "curl")
	wantStates(t, c, "syn_sent 0s, established 2ms, fin_wait_1 7ms, fin_wait_2 8ms, closed 9ms")
}

func TestServerLife(t *testing.T) {
	c := only[*Connection](t, NewTable(booted), serverLife())
	equal(t, "role", c.Role, RoleServer)
	equal(t, "local", c.Local, serverEnd)
	equal(t, "peer", c.Peer, clientEnd)
	equal(t, "start", c.Start, since(1001))
	wantStates(t, c, "syn_received 0s, established 2ms, close_wait 6ms, last_ack 7ms, closed 8ms")
}

// States come in the order of their times, which is not that of the stages: a
// simultaneous open goes through SYN_RECV after SYN_SENT, a simultaneous close
// through CLOSING without FIN_WAIT2.
func TestStatesInOrderOfTime(t *testing.T) {
	for name, test := range map[string]struct {
		at   map[bpf.BrinkStage]uint64
		want string
	}{
		"simultaneous close": {
			map[bpf.BrinkStage]uint64{bpf.BrinkStageSTAGE_SYN_SENT: 1000, bpf.BrinkStageSTAGE_ESTABLISHED: 1001,
				bpf.BrinkStageSTAGE_CLOSING: 1003, bpf.BrinkStageSTAGE_FIN_WAIT1: 1002},
			"syn_sent 0s, established 1ms, fin_wait_1 2ms, closing 3ms, closed 9ms",
		},
		"against the stages' order": {
			map[bpf.BrinkStage]uint64{bpf.BrinkStageSTAGE_CLOSING: 1000, bpf.BrinkStageSTAGE_LAST_ACK: 1001,
				bpf.BrinkStageSTAGE_ESTABLISHED: 1002, bpf.BrinkStageSTAGE_SYN_SENT: 1003},
			"closing 0s, last_ack 1ms, established 2ms, syn_sent 3ms, closed 9ms",
		},
		"at the same time": {
			map[bpf.BrinkStage]uint64{bpf.BrinkStageSTAGE_SYN_SENT: 1000, bpf.BrinkStageSTAGE_ESTABLISHED: 1000},
			"syn_sent 0s, established 0s, closed 9ms",
		},
		"all of them": {
			map[bpf.BrinkStage]uint64{0: 1000, 1: 1001, 2: 1002, 3: 1003, 4: 1004, 5: 1005, 6: 1006, 7: 1007},
			"syn_sent 0s, syn_received 1ms, established 2ms, fin_wait_1 3ms, fin_wait_2 4ms, " +
				"close_wait 5ms, last_ack 6ms, closing 7ms, closed 9ms",
		},
	} {
		t.Run(name, func(t *testing.T) {
			wantStates(t, only[*Connection](t, NewTable(booted), clientLife(func(r *bpf.BrinkEndpointEnded) {
				r.Endpoint.At = [8]uint64{}
				for stage, at := range test.at {
					r.Endpoint.At[stage] = ms(at)
				}
			})), test.want)
		})
	}
}

func wantStates(t *testing.T, c *Connection, want string) {
	t.Helper()
	got := ""
	for i, s := range c.States() {
		if i > 0 {
			got += ", "
		}
		got += s.State.String() + " " + s.At.String()
	}
	equal(t, "states", got, want)
}

func TestFailedConnect(t *testing.T) {
	c := only[*Connection](t, NewTable(booted), clientLife(func(r *bpf.BrinkEndpointEnded) {
		r.Error = uint32(unix.ECONNREFUSED)
		r.Endpoint.At = [8]uint64{bpf.BrinkStageSTAGE_SYN_SENT: ms(1000)}
	}))
	equal(t, "errno", c.Errno, unix.ECONNREFUSED)
	equal(t, "established", c.Established(), false)
	wantStates(t, c, "syn_sent 0s, closed 9ms")
}

// Without a route connect fails before SYN_SENT: there is an end and no state.
func TestConnectRefusedBeforeSYN(t *testing.T) {
	c := only[*Connection](t, NewTable(booted), clientLife(func(r *bpf.BrinkEndpointEnded) {
		r.Error = uint32(unix.ENETUNREACH)
		r.Endpoint.At = [8]uint64{}
		r.Endpoint.Tuple = tupleOf(netip.MustParseAddrPort("0.0.0.0:0"), serverEnd)
	}))
	equal(t, "start", c.Start, c.End)
	equal(t, "duration", c.Duration, 0)
	equal(t, "local is known", c.Local.IsValid(), false)
	equal(t, "peer", c.Peer, serverEnd)
	wantStates(t, c, "closed 0s")
}

func TestAbandonedConnect(t *testing.T) {
	c := only[*Connection](t, NewTable(booted), clientLife(func(r *bpf.BrinkEndpointEnded) {
		r.Endpoint.Flags = flagAbandoned
	}))
	equal(t, "abandoned", c.Abandoned, true)
	equal(t, "preexisting", c.Preexisting, false)
}

// The owner of a socket older than brink is recalled by its cookie, once.
func TestPreexistingSocketIsRecalled(t *testing.T) {
	table := NewTable(booted)
	owner := Owner{PID: 5, UID: 6, Comm: [16]byte{'s', 's', 'h'}}
	table.Remember(Known{Cookie: 99, State: Established, Owner: owner})
	table.Remember(Known{Cookie: 0, State: Established, Owner: owner})
	for _, test := range []struct {
		name   string
		cookie uint64
		want   Owner
	}{
		{"another's cookie", 98, Owner{}},
		{"its cookie", 99, owner},
		{"its cookie again", 99, Owner{}},
		{"never asked for", 0, Owner{}},
	} {
		c := only[*Connection](t, table, olderLife(test.cookie))
		equal(t, test.name, c.Owner, test.want)
		equal(t, test.name+": preexisting", c.Preexisting, true)
		equal(t, test.name+": start is known", !c.Start.IsZero(), false)
		equal(t, test.name+": states", len(c.States()), 0)
	}
}

func TestEndingInTimeWait(t *testing.T) {
	for name, test := range map[string]struct {
		flag  uint8
		event TimeWaitEvent
		state State
		last  string
	}{
		"true":     {flagTimeWait, TimeWaitEnter, TimeWaitState, "time_wait 9ms"},
		"orphan":   {flagTimeWaitFinWait2, TimeWaitEnter, FinWait2, "fin_wait_2 8ms"},
		"overflow": {flagTimeWaitOverflow, TimeWaitOverflow, TimeWaitState, "closed 9ms"},
	} {
		t.Run(name, func(t *testing.T) {
			facts := applied(t, NewTable(booted), clientLife(func(r *bpf.BrinkEndpointEnded) {
				r.Endpoint.Flags = test.flag
			}))
			if len(facts) != 2 {
				t.Fatalf("%d facts, want the connection and its time wait", len(facts))
			}
			c, w := facts[0].(*Connection), facts[1].(*TimeWait)
			states := c.States()
			last := states[len(states)-1]
			equal(t, "last state", last.State.String()+" "+last.At.String(), test.last)
			equal(t, "time wait", *w, TimeWait{
				Time: c.End, Event: test.event, State: test.state, Local: clientEnd, Peer: serverEnd,
				Netns: c.Netns, Owner: c.Owner, Hook: Hook(bpf.BrinkHookHOOK_TIME_WAIT_ENTER),
			})
		})
	}
}

func TestTimeWaitSteps(t *testing.T) {
	for event, want := range map[bpf.BrinkTimeWaitEvent]TimeWaitEvent{
		bpf.BrinkTimeWaitEventTIME_WAIT_ENTER:         TimeWaitEnter,
		bpf.BrinkTimeWaitEventTIME_WAIT_LEAVE:         TimeWaitLeave,
		bpf.BrinkTimeWaitEventTIME_WAIT_REUSE_CONNECT: TimeWaitReuseConnect,
		bpf.BrinkTimeWaitEventTIME_WAIT_REUSE_SYN:     TimeWaitReuseSYN,
	} {
		w := only[*TimeWait](t, NewTable(booted), timeWaitStep(event, FinWait2))
		equal(t, "step", *w, TimeWait{
			Time: since(2000), Event: want, State: FinWait2, Local: clientEnd, Peer: serverEnd,
			Netns: 1, Hook: Hook(bpf.BrinkHookHOOK_TIME_WAIT_LEAVE),
		})
	}
}

func TestRefusals(t *testing.T) {
	owner := Owner{PID: 812, UID: 1000, Comm: [16]byte{'c', 'u', 'r', 'l'}}
	chosen := Hook(bpf.BrinkHookHOOK_PORT_CHOICE)
	for name, test := range map[string]struct {
		record []byte
		want   LimitHit
	}{
		"no port left": {
			refusal(limits.EphemeralPorts, unix.EADDRNOTAVAIL, func(r *bpf.BrinkRefused) {
				r.Role, r.Tuple = uint8(RoleClient), tupleOf(netip.MustParseAddrPort("10.0.0.1:0"), serverEnd)
			}),
			LimitHit{Limit: limits.EphemeralPorts, Errno: unix.EADDRNOTAVAIL, Role: RoleClient, Owner: owner,
				Local: netip.MustParseAddrPort("10.0.0.1:0"), Peer: serverEnd},
		},
		"no family, so no address": {
			refusal(limits.FileDescriptors, unix.EMFILE, func(r *bpf.BrinkRefused) { r.Max = 1024 }),
			LimitHit{Limit: limits.FileDescriptors, Errno: unix.EMFILE, Max: 1024, Owner: owner},
		},
		"full queue of an unknown owner": {
			refusal(limits.AcceptQueue, 0, func(r *bpf.BrinkRefused) {
				r.Role, r.Tuple = uint8(RoleServer), tupleOf(serverEnd, clientEnd)
				r.Used, r.Max, r.Owner, r.Outcome = 6, 6, bpf.BrinkOwner{}, uint8(Dropped)
			}),
			LimitHit{Limit: limits.AcceptQueue, Used: 6, Max: 6, Outcome: Dropped, Role: RoleServer, Local: serverEnd, Peer: clientEnd},
		},
		"no UDP port left": {
			refusal(limits.EphemeralPorts, unix.EAGAIN, func(r *bpf.BrinkRefused) {
				r.Tuple = tupleOf(netip.MustParseAddrPort("10.0.0.1:0"), netip.AddrPort{})
				r.Tuple.Protocol, r.Range = unix.IPPROTO_UDP, bpf.BrinkPortRange{Low: 40000, High: 40009}
			}),
			LimitHit{Limit: limits.EphemeralPorts, Errno: unix.EAGAIN, Transport: UDP, Owner: owner,
				Low: 40000, High: 40009, Local: netip.MustParseAddrPort("10.0.0.1:0")},
		},
		"no timewait socket": {
			refusal(limits.TimeWaitBuckets, 0, func(r *bpf.BrinkRefused) {
				r.Tuple, r.Max = tupleOf(clientEnd, serverEnd), 4096
			}),
			LimitHit{Limit: limits.TimeWaitBuckets, Max: 4096, Owner: owner, Local: clientEnd, Peer: serverEnd},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Time, test.want.Netns, test.want.Count, test.want.Hook = since(1500), 1, 1, chosen
			equal(t, "hit", *only[*LimitHit](t, NewTable(booted), test.record), test.want)
		})
	}
}

// A listener is never told of by itself; it lends its owner to the refusals of
// its queue, in its own namespace only.
func TestListenerLendsItsOwner(t *testing.T) {
	nginx := Owner{PID: 7, Comm: [16]byte{'n', 'g', 'i', 'n', 'x'}}
	table := NewTable(booted)
	table.Remember(Known{Cookie: 99, State: Listen, Local: serverEnd, Netns: 1, Owner: nginx})
	full := func(netns uint32, pid uint32) Owner {
		return only[*LimitHit](t, table, refusal(limits.AcceptQueue, 0, func(r *bpf.BrinkRefused) {
			r.Tuple, r.Netns = tupleOf(serverEnd, clientEnd), netns
			r.Owner = bpf.BrinkOwner{Pid: pid}
		})).Owner
	}
	equal(t, "its queue", full(1, 0), nginx)
	equal(t, "another namespace's", full(2, 0), Owner{})
	equal(t, "the kernel's own word goes first", full(1, 8), Owner{PID: 8})
	equal(t, "a connection with its cookie", only[*Connection](t, table, olderLife(99)).Owner, Owner{})
}

func TestBindConflict(t *testing.T) {
	for _, local := range []string{"10.0.0.1:80", "0.0.0.0:80", "[::]:80", "[2001:db8::1]:80"} {
		address := netip.MustParseAddrPort(local)
		nowhere := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
		if address.Addr().Is6() {
			nowhere = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
		}
		b := only[*BindConflict](t, NewTable(booted), refusal(limits.BindConflict, unix.EADDRINUSE, func(r *bpf.BrinkRefused) {
			r.Header.Hook, r.Tuple = bpf.BrinkHookHOOK_BIND, tupleOf(address, nowhere)
		}))
		equal(t, "local", b.Local, address)
		equal(t, "errno", b.Errno, unix.EADDRINUSE)
		equal(t, "time", b.Time, since(1500))
		equal(t, "owner", b.Owner.PID, 812)
		equal(t, "netns", b.Netns, 1)
		equal(t, "hook", b.Hook, Hook(bpf.BrinkHookHOOK_BIND))
		equal(t, "holders", len(b.Holders), 0)
	}
}

func TestStateChange(t *testing.T) {
	s := only[*StateChange](t, NewTable(booted), stateChange(SynSent, Established, bpf.BrinkRoleROLE_CLIENT))
	equal(t, "change", *s, StateChange{
		Time: since(3000), Old: SynSent, New: Established, Role: RoleClient, Local: clientEnd, Peer: serverEnd,
		Netns: 1, Owner: Owner{PID: 812, UID: 1000, Comm: [16]byte{'c', 'u', 'r', 'l'}}, Socket: 0xffff8880,
	})
	// listen() streams its state, too
	l := only[*StateChange](t, NewTable(booted), stateChange(Closed, Listen, bpf.BrinkRoleROLE_LISTENER))
	equal(t, "role", l.Role.String(), "listener")
}

func TestAddresses(t *testing.T) {
	none := netip.AddrPort{}
	v6 := func(s string) [16]byte { return netip.MustParseAddr(s).As16() }
	for name, test := range map[string]struct {
		family uint16
		bytes  [16]byte
		port   uint16
		want   netip.AddrPort
	}{
		"IPv4":                   {unix.AF_INET, [16]byte{192, 0, 2, 1}, 80, netip.MustParseAddrPort("192.0.2.1:80")},
		"IPv4, no port yet":      {unix.AF_INET, [16]byte{192, 0, 2, 1}, 0, netip.MustParseAddrPort("192.0.2.1:0")},
		"IPv4, rest is ignored":  {unix.AF_INET, [16]byte{192, 0, 2, 1, 9, 9}, 80, netip.MustParseAddrPort("192.0.2.1:80")},
		"IPv4 wildcard":          {unix.AF_INET, [16]byte{}, 80, netip.MustParseAddrPort("0.0.0.0:80")},
		"IPv4, nothing yet":      {unix.AF_INET, [16]byte{}, 0, none},
		"IPv6":                   {unix.AF_INET6, v6("2001:db8::1"), 80, netip.MustParseAddrPort("[2001:db8::1]:80")},
		"IPv4 in an IPv6 socket": {unix.AF_INET6, v6("::ffff:192.0.2.1"), 80, netip.MustParseAddrPort("192.0.2.1:80")},
		"IPv6 wildcard":          {unix.AF_INET6, [16]byte{}, 80, netip.MustParseAddrPort("[::]:80")},
		"IPv6, nothing yet":      {unix.AF_INET6, [16]byte{}, 0, none},
		"no family":              {0, [16]byte{192, 0, 2, 1}, 80, none},
		"a family of its own":    {unix.AF_UNIX, [16]byte{192, 0, 2, 1}, 80, none},
	} {
		equal(t, name, address(test.family, &test.bytes, test.port), test.want)
	}
}

// Facts are lent: the next record of a kind reuses the last one's fact, and
// nothing of the last one shows through.
func TestFactsAreReused(t *testing.T) {
	table := NewTable(booted)
	var lent []Fact
	keep := func(f Fact) { lent = append(lent, f) }
	full := clientLife(func(r *bpf.BrinkEndpointEnded) { r.Endpoint.Flags = flagTimeWait; r.Error = 5 })
	for _, record := range [][]byte{full, olderLife(0), full, serverLife()} {
		if err := table.Apply(record, keep); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "facts", len(lent), 6) // each full one brings its time wait
	equal(t, "the same connection each time", lent[0] == lent[2] && lent[2] == lent[3] && lent[3] == lent[5], true)
	fresh := only[*Connection](t, NewTable(booted), serverLife())
	got := kept(lent[5]).(*Connection)
	equal(t, "states", slices.Equal(got.States(), fresh.States()), true)
	got.states, fresh.states = [maxStates]StateAt{}, [maxStates]StateAt{}
	equal(t, "connection", *got, *fresh)
}

func TestSetBoot(t *testing.T) {
	table := NewTable(booted)
	table.SetBoot(booted.Add(time.Hour))
	equal(t, "end", only[*Connection](t, table, clientLife()).End, since(1009).Add(time.Hour))
}
