package loader

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"brink/bpf"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
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

// attach puts one of the hook table's programs at its place. It is loaded, or at
// another place already; then the second one is a clone.
func (t *Tracer) attach(name string, loaded map[string]*ebpf.Program) (a attachment, err error) {
	program, at := t.placeOf(name)
	a.name = name
	if a.program = loaded[program]; a.program != nil {
		delete(loaded, program) // it is the attachment's now
	} else if a.program, err = t.attached[t.indexOf(program)].program.Clone(); err != nil {
		return a, err
	} else {
		a.again = true
	}
	a.link, err = linkTo(t.spec.Programs[program], at, a.program)
	switch {
	case err == nil:
	case a.again:
		a.program.Close()
	default:
		loaded[program] = a.program // for its next place
	}
	return a, err
}

// indexOf is the first place where a program is attached; -1 if nowhere.
func (t *Tracer) indexOf(program string) int {
	return slices.IndexFunc(t.attached, func(a attachment) bool {
		other, _ := t.placeOf(a.name)
		return other == program
	})
}

// loadAll loads a way's programs, but for those that are attached somewhere already,
// side by side: the kernel verifies as many at a time as it has CPUs, and that takes
// most of the time. An error is the first one's that was refused.
func (t *Tracer) loadAll(names []string) (map[string]*ebpf.Program, error) {
	begun := time.Now()
	defer func() { t.loading += time.Since(begun) }()
	var programs []string
	for _, name := range names {
		program, _ := t.placeOf(name)
		if t.indexOf(program) < 0 && !slices.Contains(programs, program) {
			programs = append(programs, program)
		}
	}
	results, errs := make([]*ebpf.Program, len(programs)), make([]error, len(programs))
	var all sync.WaitGroup
	for i, program := range programs {
		all.Go(func() { results[i], errs[i] = t.load(program) })
	}
	all.Wait()
	loaded := map[string]*ebpf.Program{}
	for i, p := range results {
		if errs[i] == nil {
			loaded[programs[i]] = p
		}
	}
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		closePrograms(loaded)
		return nil, errs[i]
	}
	return loaded, nil
}

func closePrograms(list map[string]*ebpf.Program) {
	for _, p := range list {
		p.Close()
	}
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
	if t.options.Hollow {
		spec.Programs[name].Instructions = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	} else if !haveCmpxchg() {
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
