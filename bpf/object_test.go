package bpf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// objects are the two committed objects. Only the running architecture's is
// embedded, so both are read from their files.
var objects = map[string]string{"amd64": "brink_x86_bpfel.o", "arm64": "brink_arm64_bpfel.o"}

// TestObjectsAgree: one Go mirror describes what either object sends.
func TestObjectsAgree(t *testing.T) {
	amd64, arm64 := load(t, objects["amd64"]), load(t, objects["arm64"])
	for _, name := range ours {
		equal(t, "struct "+name, layout(t, amd64, name), layout(t, arm64, name))
	}
	for _, name := range enums {
		equal(t, "enum "+name, values(t, amd64, name), values(t, arm64, name))
	}
	equal(t, "programs", names(amd64.Programs), names(arm64.Programs))
	equal(t, "maps", names(amd64.Maps), names(arm64.Maps))
	equal(t, "variables", names(amd64.Variables), names(arm64.Variables))
}

// enums of event.h that reach user space.
var enums = []string{
	"count", "endpoint_flag", "event_kind", "failure", "hook", "limit", "outcome", "role", "stage", "time_wait_event",
}

// TestMirrorSizes: a committed object and a committed mirror of different days
// would disagree here.
func TestMirrorSizes(t *testing.T) {
	mirrors := map[string]uintptr{
		"cidr":           unsafe.Sizeof(BrinkCidr{}),
		"endpoint":       unsafe.Sizeof(BrinkEndpoint{}),
		"endpoint_ended": unsafe.Sizeof(BrinkEndpointEnded{}),
		"owner":          unsafe.Sizeof(BrinkOwner{}),
		"refused":        unsafe.Sizeof(BrinkRefused{}),
		"bind_options":   unsafe.Sizeof(BrinkBindOptions{}),
		"state_changed":  unsafe.Sizeof(BrinkStateChanged{}),
		"storm":          unsafe.Sizeof(BrinkStorm{}),
		"storm_key":      unsafe.Sizeof(BrinkStormKey{}),
		"time_wait":      unsafe.Sizeof(BrinkTimeWait{}),
		"tuple":          unsafe.Sizeof(BrinkTuple{}),
	}
	for arch, file := range objects {
		spec := load(t, file)
		for name, size := range mirrors {
			equal(t, arch+" "+name, uintptr(structOf(t, spec.Types, name).Size), size)
		}
	}
}

// TestRecordsStartWithHeader: by it the decoder tells them apart. Each
// record starts with the header that names its kind.
func TestRecordsStartWithHeader(t *testing.T) {
	spec := load(t, objects["amd64"])
	for _, name := range []string{"endpoint_ended", "state_changed", "refused", "time_wait"} {
		first := structOf(t, spec.Types, name).Members[0]
		equal(t, name+": first field", fmt.Sprintf("%s at %d", first.Type.TypeName(), first.Offset), "event_header at 0")
		equal(t, name+": size modulo 8", structOf(t, spec.Types, name).Size%8, 0)
	}
}

// TestBoundedMaps: each map says how much it holds.
func TestBoundedMaps(t *testing.T) {
	for name, m := range load(t, objects["amd64"]).Maps {
		if m.MaxEntries == 0 {
			t.Errorf("map %s has no bound", name)
		}
	}
}

// layout is a struct's fields with their places, as a text to compare.
func layout(t *testing.T, spec *ebpf.CollectionSpec, name string) string {
	t.Helper()
	s := structOf(t, spec.Types, name)
	var b strings.Builder
	for _, m := range s.Members {
		fmt.Fprintf(&b, "%s at %d of %d, ", m.Name, m.Offset.Bytes(), sizeOf(t, m.Type))
	}
	return fmt.Sprintf("%sin all %d", b.String(), s.Size)
}

func values(t *testing.T, spec *ebpf.CollectionSpec, name string) string {
	t.Helper()
	var e *btf.Enum
	if err := spec.Types.TypeByName(name, &e); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(e.Values)
}

func names[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), " ")
}

func load(t *testing.T, file string) *ebpf.CollectionSpec {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpec(file)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}
