package bpf

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// ours are the object's structs that are brink's own: of event.h, maps.h and
// syscall.h. Every other one claims to be the kernel's, by its name.
var ours = []string{
	"bind_options", "call", "cidr", "early_owner", "endpoint", "endpoint_ended", "entered", "event_header", "owner", "place", "port_range",
	"lives", "lives_key", "refused", "state_changed", "storm", "storm_key", "syn_segment", "sys_enter",
	"sys_exit", "time_wait", "time_waits_key", "timewait_segment", "tuple",
}

// opaque are structs that are read whole and never by member, so that only
// their size has to be the kernel's.
var opaque = []string{"in6_addr", "nf_conntrack_tuple"}

// versioned are fields that only some kernels have; the programs ask first
// (bpf_core_field_exists).
var versioned = []string{
	"inet_timewait_death_row.tw_count", "inet_timewait_death_row.tw_refcount", "inet_sock.local_port_range",
	"local_ports.range", "local_ports___before_6_8.range",
}

// bits are read by BPF_CORE_READ_BITFIELD_PROBED.
var bits = []string{"sock_common.skc_reuse", "sock_common.skc_reuseport", "sock_common.skc_ipv6only"}

// TestKernelFields holds each field of kernel.h against the running kernel: it
// is there, of the kind that is read, and as wide. CO-RE corrects offsets alone;
// a field of another width would be read wrong in silence.
//
// pt_regs is the running architecture's own; the other one's has only its own
// test run to check it.
func TestKernelFields(t *testing.T) {
	kernel := kernelSpec(t)
	for _, s := range kernelStructs(t) {
		t.Run(s.Name, func(t *testing.T) {
			name, _, _ := strings.Cut(s.Name, "___") // a flavour: how some versions have it
			theirs := structOf(t, kernel, name)
			if slices.Contains(opaque, s.Name) {
				equal(t, "size", s.Size, theirs.Size)
				return
			}
			sameFields(t, s.Name, s.Members, theirs.Members)
		})
	}
}

// TestSystemCallRecords: what a program on a system call's tracepoint is given
// is laid out as the record in the trace (struct syscall_tp_t, in perf alone).
func TestSystemCallRecords(t *testing.T) {
	kernel, object := kernelSpec(t), load(t, objects[runtime.GOARCH]).Types
	for _, test := range []struct{ ours, field, theirs, name string }{
		{"sys_enter", "args", "syscall_trace_enter", "args"},
		{"sys_exit", "result", "syscall_trace_exit", "ret"},
	} {
		ours, ok := memberNamed(membersOf(structOf(t, object, test.ours)), test.field)
		theirs, found := memberNamed(membersOf(structOf(t, kernel, test.theirs)), test.name)
		if !ok || !found {
			t.Errorf("%s.%s or %s.%s is not there", test.ours, test.field, test.theirs, test.name)
		}
		equal(t, test.ours+"."+test.field, ours.Offset.Bytes(), theirs.Offset.Bytes())
	}
}

func structOf(t *testing.T, spec *btf.Spec, name string) (s *btf.Struct) {
	t.Helper()
	if err := spec.TypeByName(name, &s); err != nil {
		t.Fatalf("struct %s: %v", name, err)
	}
	return s
}

func sameFields(t *testing.T, path string, ours, theirs []btf.Member) {
	t.Helper()
	for _, m := range ours {
		field, ok := memberNamed(theirs, m.Name)
		if slices.Contains(versioned, path+"."+m.Name) && !(ok && alike(m, field)) {
			continue
		}
		if !ok {
			t.Errorf("%s.%s: this kernel has no such field", path, m.Name)
			continue
		}
		sameField(t, path+"."+m.Name, m, field)
	}
}

func sameField(t *testing.T, path string, ours, theirs btf.Member) {
	t.Helper()
	if slices.Contains(bits, path) {
		equal(t, path+": bits", ours.BitfieldSize, theirs.BitfieldSize)
		return
	}
	if theirs.BitfieldSize != 0 {
		t.Errorf("%s is a bit field here, which BPF_CORE_READ does not read", path)
	}
	o, k := btf.UnderlyingType(ours.Type), btf.UnderlyingType(theirs.Type)
	equal(t, path+": kind", kindOf(o), kindOf(k))
	switch o := o.(type) {
	case *btf.Struct:
		sameInner(t, path, o, k)
	case *btf.Array:
		sameElements(t, path, o, k)
	default:
		equal(t, path+": size", sizeOf(t, o), sizeOf(t, k))
	}
}

func alike(ours, theirs btf.Member) bool {
	return kindOf(btf.UnderlyingType(ours.Type)) == kindOf(btf.UnderlyingType(theirs.Type))
}

// sameElements leaves the elements' size to CO-RE, which counts in the kernel's.
func sameElements(t *testing.T, path string, ours *btf.Array, theirs btf.Type) {
	t.Helper()
	k, ok := theirs.(*btf.Array)
	if !ok {
		return // the kind's difference has been told
	}
	equal(t, path+": length", ours.Nelems, k.Nelems)
	sameField(t, path+"[]", btf.Member{Type: ours.Type}, btf.Member{Type: k.Type})
}

// sameInner goes into structs without a name of their own; those with one are
// looked at by that name.
func sameInner(t *testing.T, path string, ours *btf.Struct, theirs btf.Type) {
	t.Helper()
	k, ok := theirs.(*btf.Struct)
	if !ok {
		return // the kind's difference has been told
	}
	if ours.Name != "" {
		equal(t, path+": struct", ours.Name, k.Name)
		return
	}
	sameFields(t, path, ours.Members, k.Members)
}

// kernelStructs are kernel.h's structs as the object's own BTF has them.
func kernelStructs(t *testing.T) (structs []*btf.Struct) {
	t.Helper()
	object, err := LoadBrink()
	if err != nil {
		t.Fatal(err)
	}
	for typ, err := range object.Types.All() {
		if err != nil {
			t.Fatal(err)
		}
		s, ok := typ.(*btf.Struct)
		if ok && s.Name != "" && !slices.Contains(ours, s.Name) {
			structs = append(structs, s)
		}
	}
	if len(structs) < 15 {
		t.Fatalf("the object has %d kernel structs: its BTF is not what it was", len(structs))
	}
	return structs
}

func kernelSpec(t *testing.T) *btf.Spec {
	t.Helper()
	spec, err := btf.LoadKernelSpec()
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, btf.ErrNotFound) {
		t.Skip("this kernel does not describe its types (CONFIG_DEBUG_INFO_BTF)")
	}
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// memberNamed finds a field also where it lies in an anonymous struct or union.
func memberNamed(members []btf.Member, name string) (btf.Member, bool) {
	for _, m := range members {
		if m.Name == name {
			return m, true
		}
		if m.Name != "" {
			continue
		}
		if found, ok := memberNamed(membersOf(m.Type), name); ok {
			return found, true
		}
	}
	return btf.Member{}, false
}

func membersOf(t btf.Type) []btf.Member {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		return t.Members
	case *btf.Union:
		return t.Members
	}
	return nil
}

// kindOf calls enums integers: what is read are their bytes.
func kindOf(t btf.Type) string {
	switch t.(type) {
	case *btf.Int, *btf.Enum:
		return "integer"
	case *btf.Pointer:
		return "pointer"
	case *btf.Array:
		return "array"
	case *btf.Struct:
		return "struct"
	case *btf.Union:
		return "union"
	}
	return "something else"
}

func sizeOf(t *testing.T, typ btf.Type) int {
	t.Helper()
	size, err := btf.Sizeof(typ)
	if err != nil {
		t.Fatal(err)
	}
	return size
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
