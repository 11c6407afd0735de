package vm

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// moduleTreeOf writes modules with the given dependencies and indexes them.
func moduleTreeOf(t *testing.T, depends map[string]string, builtin string) *moduleTree {
	t.Helper()
	dir := t.TempDir()
	files := map[string][]byte{"modules.builtin": []byte(builtin), "vmlinuz": nil, "a.ko.zst": nil}
	for name, needs := range depends {
		files[name+".ko"] = moduleImage(t, "license=GPL\x00depends="+needs+"\x00name="+name+"\x00")
	}
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := openModules(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// moduleImage is the smallest ELF file with a .modinfo section.
func moduleImage(t *testing.T, modinfo string) []byte {
	t.Helper()
	const names = "\x00.modinfo\x00.shstrtab\x00"
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2, Shoff: uint64(64 + len(modinfo) + len(names)),
	}
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: 64, Size: uint64(len(modinfo))},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: uint64(64 + len(modinfo)), Size: uint64(len(names))},
	}
	var image bytes.Buffer
	for _, part := range []any{header, []byte(modinfo), []byte(names), sections} {
		if err := binary.Write(&image, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return image.Bytes()
}

func TestClosure(t *testing.T) {
	tree := moduleTreeOf(t, map[string]string{
		"nft-masq": "nf-nat,nf_tables", "nf_nat": "nf_conntrack,crc", "nf_tables": "crc", "nf_conntrack": "", "veth": "",
		"broken": "absent",
	}, "kernel/lib/crc.ko\nkernel/net/core/core.ko\n")
	tests := []struct{ wanted, loads, failure string }{
		{"veth", "veth", ""},
		{"nft_masq veth nf_tables", "nf_conntrack nf_nat nf_tables nft_masq veth", ""},
		{"crc", "", ""},
		{"absent", "", "module absent: neither a file nor built in"},
		{"broken", "", "module absent: neither a file nor built in (needed by broken)"},
	}
	for _, test := range tests {
		modules, err := tree.closure(strings.Fields(test.wanted))
		if (err == nil) != (test.failure == "") || (err != nil && err.Error() != test.failure) {
			t.Errorf("%s: error %v, want %q", test.wanted, err, test.failure)
		}
		var names []string
		for _, m := range modules {
			names = append(names, m.name)
		}
		if got := strings.Join(names, " "); err == nil && got != test.loads {
			t.Errorf("%s: loads %q, want %q", test.wanted, got, test.loads)
		}
	}
	if got := tree.present([]string{"nft_counter", "veth", "a"}); len(got) != 1 || got[0] != "veth" {
		t.Errorf("present: %q", got)
	}
}

func TestModuleDependsOfNoModule(t *testing.T) {
	if _, err := moduleDepends([]byte("no ELF file")); err == nil {
		t.Error("accepted what is no module")
	}
}

func TestBzPayload(t *testing.T) {
	image := make([]byte, 2048)
	copy(image[0x202:], "HdrS")
	image[0x1f1] = 1 // one sector of setup code: the rest starts at 1024
	binary.LittleEndian.PutUint32(image[0x248:], 16)
	binary.LittleEndian.PutUint32(image[0x24c:], 12)
	copy(image[1040:], "twelve bytes")
	if payload, err := bzPayload(image); err != nil || string(payload) != "twelve bytes" {
		t.Errorf("got %q, %v", payload, err)
	}
	binary.LittleEndian.PutUint32(image[0x24c:], 0xffffffff)
	if _, err := bzPayload(image); err == nil {
		t.Error("accepted a payload that ends outside the file")
	}
	if _, err := bzPayload(image[:100]); err == nil {
		t.Error("accepted a file without a header")
	}
}
