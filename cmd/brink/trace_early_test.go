package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"brink/collector"
	"brink/experiments/lab"
	"brink/loader"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// TestTraceOwnerBeforeEstablished: a task may accept a child that is still in SYN_RECV:
// with Fast Open that lasts until the handshake's last ACK comes, which is held back
// here. The connection has its owner nevertheless, also where a filter by port or a tally
// has it taken up when established.
func TestTraceOwnerBeforeEstablished(t *testing.T) {
	needRoot(t)
	for _, rung := range []loader.Rung{loader.Fentry, loader.Kprobe, loader.Tracepoint} {
		for name, o := range map[string]loader.Options{
			"all":   {},
			"port":  {Filter: loader.Filter{Port: fastPort}},
			"tally": {Tally: true, SampleRatio: 1},
		} {
			t.Run(fmt.Sprintf("%s/%s", rung, name), func(t *testing.T) {
				o.Best, o.Filter.Dynamic = rung, true
				tr := startTracing(t, o)
				if m := tr.tracer.Mode("accept"); m.Rung != rung {
					t.Skipf("this kernel has no %s: %+v", rung, m.Refusals)
				}
				for _, addr := range []string{"127.0.0.1", "::1"} {
					t.Run(addr, func(t *testing.T) { testEarlyOwner(t, tr, netip.MustParseAddr(addr)) })
				}
			})
		}
	}
}

// fastPort is the server's, in a namespace of its own.
const fastPort = 8000

func testEarlyOwner(t *testing.T, tr *tracing, addr netip.Addr) {
	l := newLab(t)
	if err := tr.tracer.AllowNetns(l.Netns()); err != nil {
		t.Fatal(err)
	}
	within(t, l, func() { acceptBeforeEstablished(t, netip.AddrPortFrom(addr, fastPort)) })
	for _, f := range tr.ends(t, l, 2) {
		c, ok := f.(*collector.Connection)
		if ok && int(c.Owner.PID) != os.Getpid() {
			t.Errorf("the %s is of process %d, not %d", c.Role, c.Owner.PID, os.Getpid())
		}
	}
}

// within calls f in a lab's network namespace.
func within(t *testing.T, l *lab.Lab, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with it
		ns, err := os.Open(l.NetnsPath())
		if err != nil {
			t.Error(err)
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

func acceptBeforeEstablished(t *testing.T, at netip.AddrPort) {
	// 0x207: client and server, without a cookie at either end
	if err := os.WriteFile("/proc/sys/net/ipv4/tcp_fastopen", []byte("519"), 0); err != nil {
		t.Error(err)
		return
	}
	let, err := holdACKs(at)
	if err != nil {
		t.Error(err)
		return
	}
	defer let()
	server, err := listenFast(at)
	if err != nil {
		t.Error(err)
		return
	}
	defer unix.Close(server)
	client, err := unix.Socket(domain(at), unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer unix.Close(client)
	if err := unix.Sendto(client, []byte("hello"), unix.MSG_FASTOPEN, sockaddr(at)); err != nil {
		t.Errorf("send with the SYN: %v", err)
		return
	}
	child, _, err := unix.Accept4(server, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Errorf("accept: %v", err)
		return
	}
	defer unix.Close(child)
	if state := stateOf(t, child); state != collector.SynRecv {
		t.Errorf("accepted in %s: nothing is shown", state)
	}
	let()
	for deadline := time.Now().Add(10 * time.Second); stateOf(t, child) == collector.SynRecv; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("the server's end is not established")
			return
		}
	}
}

func domain(a netip.AddrPort) int {
	if a.Addr().Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func stateOf(t *testing.T, fd int) collector.State {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		t.Error(err)
		return 0
	}
	return collector.State(info.State)
}

func listenFast(at netip.AddrPort) (fd int, err error) {
	fd, err = unix.Socket(domain(at), unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fd, err
	}
	for _, step := range []func() error{
		func() error { return unix.Bind(fd, sockaddr(at)) },
		func() error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 8) },
		func() error { return unix.Listen(fd, 8) },
	} {
		if err := step(); err != nil {
			unix.Close(fd)
			return fd, err
		}
	}
	return fd, nil
}

// holdACKs drops what a client sends to a port with ACK and without SYN, until let is
// called, in the calling thread's namespace.
func holdACKs(to netip.AddrPort) (let func(), err error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, err
	}
	family := nftables.TableFamilyIPv4
	if to.Addr().Is6() {
		family = nftables.TableFamilyIPv6
	}
	table := conn.AddTable(&nftables.Table{Family: family, Name: "hold"})
	chain := conn.AddChain(&nftables.Chain{
		Name: "output", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter,
	})
	const flags, syn, ack = 13, 0x02, 0x10 // offset in the header, and bits
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, to.Port())},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flags, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{syn | ack}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{ack}},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	return func() { conn.DelTable(table); conn.Flush() }, conn.Flush()
}
