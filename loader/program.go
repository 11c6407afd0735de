package loader

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"brink/bpf"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// attachment is one program at its place.
type attachment struct {
	name    string // as the hook table has it
	program *ebpf.Program
	link    link.Link
	again   bool // the program is at another place already, and counted there
}

// placeOf splits a name of the hook table: the program in the BPF object, and
// where to attach it if not there where its section says.
func (t *Tracer) placeOf(name string) (program, at string) {
	program, at, given := strings.Cut(name, "@")
	if !given {
		at = t.spec.Programs[program].AttachTo
	}
	return program, at
}

func (a attachment) close() error { return errors.Join(a.link.Close(), a.program.Close()) }

func (t *Tracer) attach(name string) (a attachment, err error) {
	program, at := t.placeOf(name)
	a.name = name
	if a.program, a.again, err = t.loaded(program); err != nil {
		return a, err
	}
	if a.link, err = linkTo(t.spec.Programs[program], at, a.program); err != nil {
		a.program.Close()
	}
	return a, err
}

// loaded is the program, loaded now unless it is at another place already.
func (t *Tracer) loaded(program string) (p *ebpf.Program, again bool, err error) {
	for _, a := range t.attached {
		if other, _ := t.placeOf(a.name); other == program {
			p, err = a.program.Clone()
			return p, true, err
		}
	}
	p, err = t.load(program)
	return p, false, err
}

func linkTo(spec *ebpf.ProgramSpec, at string, p *ebpf.Program) (link.Link, error) {
	kind, _, _ := strings.Cut(spec.SectionName, "/")
	switch kind {
	case "fentry", "fexit":
		return link.AttachTracing(link.TracingOptions{Program: p})
	case "kprobe":
		return attachKprobe(link.Kprobe, at, p)
	case "kretprobe":
		return attachKprobe(link.Kretprobe, at, p)
	case "tracepoint":
		group, event, _ := strings.Cut(at, "/")
		return link.Tracepoint(group, event, p, nil)
	default:
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: at, Program: p})
	}
}

// errNoKprobes: every kernel since 4.17 that has kprobes offers them through
// perf_event_open, which needs no tracefs.
var errNoKprobes = errors.New("this kernel has no kprobes (CONFIG_KPROBE_EVENTS): " + kprobePMU + " is absent")

const kprobePMU = "/sys/bus/event_source/devices/kprobe"

type kprobeFunc func(string, *ebpf.Program, *link.KprobeOptions) (link.Link, error)

func attachKprobe(attach kprobeFunc, symbol string, p *ebpf.Program) (link.Link, error) {
	if _, err := os.Stat(kprobePMU); err != nil {
		return nil, errNoKprobes
	}
	return attach(symbol, p, nil)
}

// load loads one program by itself, on the shared maps, with constants that fit
// what has been attached so far.
func (t *Tracer) load(name string) (*ebpf.Program, error) {
	alone := *t.spec
	alone.Programs = map[string]*ebpf.ProgramSpec{name: t.spec.Programs[name]}
	spec := alone.Copy()
	for variable, value := range t.constants(spec.Programs[name]) {
		if err := spec.Variables[variable].Set(value); err != nil {
			return nil, fmt.Errorf("set %s: %w", variable, err)
		}
	}
	if !haveCmpxchg() {
		withoutCmpxchg(spec.Programs[name])
	}
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		MapReplacements: t.shared(),
		Cache:           t.types,
	})
	if err != nil {
		return nil, err
	}
	defer collection.Close()
	return collection.DetachProgram(name), nil
}

// shared are the maps that all programs have in common. Read-only data is not
// among them: each program gets its own.
func (t *Tracer) shared() map[string]*ebpf.Map {
	maps := make(map[string]*ebpf.Map, len(t.maps))
	for name, m := range t.maps {
		if !strings.HasPrefix(name, ".") {
			maps[name] = m
		}
	}
	return maps
}

// constants tell a program what the hooks attached before it will tell.
func (t *Tracer) constants(p *ebpf.ProgramSpec) map[string]any {
	c := t.options.constants()
	c[bpf.BrinkVarSecondLook] = p.Name == bpf.BrinkProgRawTpInetSockSetStateAgain
	connect := t.mode(bpf.BrinkHookHOOK_CONNECT)
	c[bpf.BrinkVarConnectResults] = connect.Rung < Poll
	c[bpf.BrinkVarConnectBySyscall] = connect.Rung == Tracepoint || p.Type == ebpf.TracePoint
	c[bpf.BrinkVarPortChoices] = t.mode(bpf.BrinkHookHOOK_PORT_CHOICE).Rung <= Kprobe
	c[bpf.BrinkVarTimeWaitResults] = t.mode(bpf.BrinkHookHOOK_TIME_WAIT_ENTER).Rung <= Kprobe
	c[bpf.BrinkVarUdpPorts] = t.mode(bpf.BrinkHookHOOK_UDP_PORT).Rung <= Kprobe
	c[bpf.BrinkVarFileTables] = t.mode(bpf.BrinkHookHOOK_FILE_TABLE).Rung <= Kprobe
	return c
}
