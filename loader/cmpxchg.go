package loader

import (
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// cmpxchg is one of a program's instructions: *(fp - 8), where it is r0, becomes r1.
func cmpxchg() asm.Instruction {
	ins := asm.CmpXchg.Mem(asm.RFP, asm.R1, asm.DWord, -8)
	ins.Constant = int64(asm.CmpXchg >> 8) // which the library leaves out when it encodes this (0.22)
	return ins
}

// haveCmpxchg: BPF's atomic operations with a result are of 5.12, on arm64 of 5.18.
var haveCmpxchg = sync.OnceValue(func() bool {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.RawTracepoint, License: "GPL", Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R0, 0), asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.RFP, -8, asm.R0, asm.DWord),
		cmpxchg(), asm.Mov.Imm(asm.R0, 0), asm.Return(),
	}})
	if err != nil {
		return false
	}
	p.Close()
	return true
})

// withoutCmpxchg has every place of table.h found taken, for a kernel that knows
// no cmpxchg and checks even instructions that are never reached.
func withoutCmpxchg(p *ebpf.ProgramSpec) {
	for i := range p.Instructions {
		if ins := &p.Instructions[i]; ins.OpCode == cmpxchg().OpCode {
			taken := asm.Mov.Imm(asm.R0, 1).WithMetadata(ins.Metadata)
			p.Instructions[i] = taken
		}
	}
}
