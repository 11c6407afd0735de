package vm

import (
	"net"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// The tests in this file run inside a guest: TestMatrix takes this very test
// binary there. They hold that each kernel of the matrix is one where the two
// upper rungs of the attach ladder work and count, so that a loader test that
// falls to a lower rung there has found a fault of the loader.

func needGuest(t *testing.T) {
	t.Helper()
	if os.Getenv("BRINK_VM_GUEST") != "1" {
		t.Skip("runs inside a guest, by TestMatrix")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
}

func TestInGuestFentry(t *testing.T) {
	needGuest(t)
	count := attach(t, &ebpf.ProgramSpec{
		Type: ebpf.Tracing, AttachType: ebpf.AttachTraceFEntry, AttachTo: "tcp_v4_connect",
	}, func(p *ebpf.Program) (link.Link, error) { return link.AttachTracing(link.TracingOptions{Program: p}) })
	connect(t)
	count(t, 1)
}

func TestInGuestKprobe(t *testing.T) {
	needGuest(t)
	count := attach(t, &ebpf.ProgramSpec{Type: ebpf.Kprobe},
		func(p *ebpf.Program) (link.Link, error) { return link.Kprobe("tcp_v4_connect", p, nil) })
	connect(t)
	count(t, 1)
}

// attach loads a program that counts its runs in a map, and returns a check
// of that count.
func attach(t *testing.T, spec *ebpf.ProgramSpec, hook func(*ebpf.Program) (link.Link, error)) func(*testing.T, uint64) {
	t.Helper()
	runs, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { runs.Close() })
	spec.License = "GPL"
	spec.Instructions = asm.Instructions{
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, runs.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "exit"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("exit"),
		asm.Return(),
	}
	program, err := ebpf.NewProgram(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	attached, err := hook(program)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { attached.Close() })
	return func(t *testing.T, want uint64) {
		t.Helper()
		var got uint64
		if err := runs.Lookup(uint32(0), &got); err != nil || got != want {
			t.Errorf("ran %d times (%v), want %d", got, err, want)
		}
	}
}

// connect makes one TCP connection over loopback.
func connect(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
