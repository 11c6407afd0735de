package loader

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"brink/bpf"

	"github.com/cilium/ebpf"
)

func TestCIDRKey(t *testing.T) {
	for prefix, want := range map[string]struct {
		bits    uint32
		address string
	}{
		"10.1.2.3/8":            {104, "::ffff:10.0.0.0"},
		"10.1.2.3/32":           {128, "::ffff:10.1.2.3"},
		"0.0.0.0/0":             {96, "::ffff:0.0.0.0"},
		"2001:db8::1/32":        {32, "2001:db8::"},
		"::/0":                  {0, "::"},
		"::ffff:10.1.2.3/104":   {104, "::ffff:10.0.0.0"},
		"2001:db8::1/128":       {128, "2001:db8::1"},
		"fe80::1234:5678:9/64":  {64, "fe80::"},
		"192.168.255.255/17":    {113, "::ffff:192.168.128.0"},
		"::ffff:192.0.2.77/120": {120, "::ffff:192.0.2.0"},
	} {
		key := cidrKey(netip.MustParsePrefix(prefix))
		equal(t, prefix+": prefix length", key.PrefixLength, want.bits)
		equal(t, prefix+": address", key.Address, netip.MustParseAddr(want.address).As16())
	}
}

// A filter that nobody set must cost nothing: all of its constants are zero.
func TestConstantsOfTheZeroOptions(t *testing.T) {
	for name, value := range (Options{}).constants() {
		if strings.HasSuffix(name, "_bounds") || name == bpf.BrinkVarLastPlace {
			continue // looked at by a tally alone; a map's size
		}
		if zero := fmt.Sprint(value) == "0" || value == false; !zero {
			t.Errorf("%s is %v", name, value)
		}
	}
}

func TestConstants(t *testing.T) {
	set := func(f Filter) map[string]any { return Options{Filter: f}.constants() }
	equal(t, "pid", set(Filter{PID: 7})[bpf.BrinkVarFilterPid], any(uint32(7)))
	equal(t, "port", set(Filter{Port: 80})[bpf.BrinkVarFilterPort], any(uint16(80)))
	equal(t, "netns", set(Filter{Netns: []uint32{1}})[bpf.BrinkVarFilterByNetns], any(true))
	equal(t, "dynamic netns", set(Filter{Dynamic: true})[bpf.BrinkVarFilterByNetns], any(true))
	equal(t, "cgroup", set(Filter{Cgroup: "/"})[bpf.BrinkVarFilterByCgroup], any(true))
	equal(t, "cidr", set(Filter{CIDRs: make([]netip.Prefix, 1)})[bpf.BrinkVarFilterByCidr], any(true))
	equal(t, "a tuple's cidr", set(Filter{CIDRs: make([]netip.Prefix, 1)})[bpf.BrinkVarFilterByTuple], any(true))
	equal(t, "a tuple's port", set(Filter{Port: 1})[bpf.BrinkVarFilterByTuple], any(true))
	equal(t, "no tuple", set(Filter{PID: 1})[bpf.BrinkVarFilterByTuple], any(false))
	equal(t, "states", Options{States: true}.constants()[bpf.BrinkVarStreamStates], any(true))
}

// Each constant is one of the object's, of its type, and each of the object's
// is set: none is left to what the C says.
func TestConstantsAreThoseOfTheObject(t *testing.T) {
	variables := object(t).Variables
	for name, value := range unattached().constants(anyProgram) {
		v := variables[name]
		if v == nil {
			t.Errorf("the object has no %s", name)
			continue
		}
		if err := v.Set(value); err != nil {
			t.Errorf("%s = %v: %v", name, value, err)
		}
		delete(variables, name)
	}
	delete(variables, bpf.BrinkVarMirrored) // there for its types alone
	for name := range variables {
		t.Errorf("%s is never set", name)
	}
}

// What is not attached tells nothing, and nothing waits for it.
func TestConstantsBeforeAnyHook(t *testing.T) {
	for _, name := range []string{
		bpf.BrinkVarConnectResults, bpf.BrinkVarConnectBySyscall,
		bpf.BrinkVarPortChoices, bpf.BrinkVarTimeWaitResults,
	} {
		equal(t, name, unattached().constants(anyProgram)[name], any(false))
	}
}

// A hook that has results of its own says so to the programs that would else
// tell or guess them.
func TestConstantsFollowTheRungs(t *testing.T) {
	for _, test := range []struct {
		hook     bpf.BrinkHook
		rung     Rung
		constant string
		want     bool
	}{
		{bpf.BrinkHookHOOK_CONNECT, Fentry, bpf.BrinkVarConnectResults, true},
		{bpf.BrinkHookHOOK_CONNECT, Tracepoint, bpf.BrinkVarConnectResults, true},
		{bpf.BrinkHookHOOK_CONNECT, None, bpf.BrinkVarConnectResults, false},
		{bpf.BrinkHookHOOK_CONNECT, Kprobe, bpf.BrinkVarConnectBySyscall, false},
		{bpf.BrinkHookHOOK_CONNECT, Tracepoint, bpf.BrinkVarConnectBySyscall, true},
		{bpf.BrinkHookHOOK_PORT_CHOICE, Kprobe, bpf.BrinkVarPortChoices, true},
		{bpf.BrinkHookHOOK_PORT_CHOICE, Tracepoint, bpf.BrinkVarPortChoices, false},
		{bpf.BrinkHookHOOK_TIME_WAIT_ENTER, Fentry, bpf.BrinkVarTimeWaitResults, true},
		{bpf.BrinkHookHOOK_TIME_WAIT_ENTER, Tracepoint, bpf.BrinkVarTimeWaitResults, false},
	} {
		tracer := unattached()
		i := indexOf(test.hook)
		tracer.modes[i] = Mode{Hook: hooks[i], Rung: test.rung}
		equal(t, fmt.Sprint(test.constant, " with ", hooks[i].Name, " on ", test.rung),
			tracer.constants(anyProgram)[test.constant], any(test.want))
	}
}

// The programs on connect()'s own tracepoints are loaded before their hook has a
// rung, and know by themselves.
func TestConstantsOfASystemCallsProgram(t *testing.T) {
	spec := object(t).Programs[bpf.BrinkProgTpSysExitConnect]
	equal(t, "by system call", unattached().constants(spec)[bpf.BrinkVarConnectBySyscall], any(true))
}

var anyProgram = &ebpf.ProgramSpec{Type: ebpf.Tracing}

func unattached() *Tracer { return &Tracer{modes: make([]Mode, len(hooks))} }

func TestApplySizesTheMaps(t *testing.T) {
	spec := object(t)
	Options{RingBytes: 1 << 12, Endpoints: 99}.apply(spec)
	equal(t, "ring", spec.Maps[bpf.BrinkMapEvents].MaxEntries, 1<<12)
	equal(t, "places for endpoints", spec.Maps[bpf.BrinkMapEndpoints].MaxEntries, 64)
	equal(t, "the last of them", Options{Endpoints: 99}.constants()[bpf.BrinkVarLastPlace], any(uint32(63)))
	equal(t, "further ones", spec.Maps[bpf.BrinkMapMoreEndpoints].MaxEntries, 99-64)
	many := object(t)
	Options{Endpoints: 1 << 22}.apply(many)
	equal(t, "many endpoints", many.Maps[bpf.BrinkMapEndpoints].MaxEntries+many.Maps[bpf.BrinkMapMoreEndpoints].MaxEntries, 1<<22)

	untouched := object(t)
	Options{}.apply(untouched)
	equal(t, "a tally that nobody asked for", untouched.Maps[bpf.BrinkMapTallyLives].MaxEntries, 1)
	equal(t, "ring by default", untouched.Maps[bpf.BrinkMapEvents].MaxEntries, 16<<20)
}

// What a tally or a filter by tuple does not need is a child's birth, and nothing else.
func TestNeeded(t *testing.T) {
	state := hooks[indexOf(bpf.BrinkHookHOOK_STATE)]
	for _, way := range state.Ways {
		whole := Options{Filter: Filter{PID: 1}}.needed(way.Programs)
		equal(t, way.Rung.String()+": programs for all", len(whole), len(way.Programs))
		births := 1
		if way.Rung == Tracepoint {
			births = 0 // the tracepoint is the birth as well
		}
		for _, o := range []Options{{Tally: true}, {Filter: Filter{Port: 1}}, {Filter: Filter{CIDRs: make([]netip.Prefix, 1)}}} {
			needed := o.needed(way.Programs)
			equal(t, way.Rung.String()+": programs needed", len(needed), len(way.Programs)-births)
			equal(t, way.Rung.String()+": of a birth", strings.Contains(strings.Join(needed, " "), "clone_lock"), false)
		}
	}
}
