package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"brink/collector"
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
	inLab(t, l, func() error { return acceptBeforeEstablished(netip.AddrPortFrom(addr, fastPort)) })
	for _, f := range tr.ends(t, l, 2) {
		c, ok := f.(*collector.Connection)
		if ok && int(c.Owner.PID) != os.Getpid() {
			t.Errorf("the %s is of process %d, not %d", c.Role, c.Owner.PID, os.Getpid())
		}
	}
}

func acceptBeforeEstablished(at netip.AddrPort) error {
	// 0x207: client and server, without a cookie at either end
	if err := os.WriteFile("/proc/sys/net/ipv4/tcp_fastopen", []byte("519"), 0); err != nil {
		return err
	}
	let, err := holdACKs(at)
	if err != nil {
		return err
	}
	defer let()
	server, err := listenFast(at)
	if err != nil {
		return err
	}
	defer unix.Close(server)
	client, err := socketFor("tcp", at.Addr())
	if err != nil {
		return err
	}
	defer unix.Close(client)
	if err := unix.Sendto(client, []byte("hello"), unix.MSG_FASTOPEN, sockaddrOf(at)); err != nil {
		return fmt.Errorf("send with the SYN: %w", err)
	}
	child, _, err := unix.Accept4(server, unix.SOCK_CLOEXEC)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	defer unix.Close(child)
	if state, err := stateOf(child); err != nil || state != collector.SynRecv {
		return fmt.Errorf("accepted in %s, which shows nothing: %v", state, err)
	}
	let()
	for range 1000 {
		if state, err := stateOf(child); err != nil || state != collector.SynRecv {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("the server's end is not established")
}

func stateOf(fd int) (collector.State, error) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, err
	}
	return collector.State(info.State), nil
}

func listenFast(at netip.AddrPort) (fd int, err error) {
	fd, err = socketFor("tcp", at.Addr())
	if err != nil {
		return fd, err
	}
	err = unix.Bind(fd, sockaddrOf(at))
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 8)
	}
	if err == nil {
		err = unix.Listen(fd, 8)
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
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
