package loader

import (
	"bytes"
	"encoding/binary"
	"testing"

	"brink/bpf"

	"github.com/cilium/ebpf/asm"
)

// What an old kernel would refuse is in the program that tracks endpoints, and
// gone once it was replaced: then each place is found taken.
func TestWithoutCmpxchg(t *testing.T) {
	p := object(t).Programs[bpf.BrinkProgRawTpInetSockSetState]
	count := func(code asm.OpCode) (n int) {
		for _, ins := range p.Instructions {
			if ins.OpCode == code {
				n++
			}
		}
		return n
	}
	before := count(cmpxchg().OpCode)
	if before == 0 {
		t.Fatal("the program takes no place")
	}
	length := len(p.Instructions)
	withoutCmpxchg(p)
	equal(t, "left", count(cmpxchg().OpCode), 0)
	equal(t, "instructions", len(p.Instructions), length)
}

// An encoding without the operation would be an addition, which every kernel takes.
func TestCmpxchgIsEncoded(t *testing.T) {
	var b bytes.Buffer
	ins := cmpxchg()
	if _, err := ins.Marshal(&b, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	equal(t, "imm", binary.LittleEndian.Uint32(b.Bytes()[4:]), 0xf1) // BPF_CMPXCHG
}
