package loader

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"brink/bpf"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// A Mode is how a hook is seen on this kernel.
type Mode struct {
	Hook
	Rung Rung
	// Sources are the kernel functions and tracepoints in use, as
	// "fexit/tcp_v4_connect".
	Sources []string
	// Lost is what this rung does not see.
	Lost string
	// Refusals say, rung by rung, why no better one was got.
	Refusals []Refusal

	way Way
}

// A Refusal is a rung that could not be had, and the kernel's reason.
type Refusal struct {
	Rung   Rung
	Reason string
}

// Tracer is what Attach got. It belongs to its creator, who closes it.
type Tracer struct {
	options  Options
	spec     *ebpf.CollectionSpec
	maps     map[string]*ebpf.Map
	ring     *ringbuf.Reader
	programs map[string]*ebpf.Program
	links    []link.Link
	modes    []Mode
	blocked  error
	closed   map[Rung]error // rungs that this kernel does not have at all
	record   ringbuf.Record
}

// Attach gets every hook onto the best rung that this kernel allows. It never
// fails whole: Modes tells what was got, Blocked why nothing was. An error is a
// wrong option.
func Attach(options Options) (*Tracer, error) {
	t := &Tracer{options: options, programs: map[string]*ebpf.Program{}, closed: map[Rung]error{}}
	if err := t.createMaps(); err != nil {
		t.blocked = err
	} else if err := options.Filter.fill(t.maps); err != nil {
		t.Close()
		return nil, err
	}
	withTracefs(t.climb)
	if state := t.mode(bpf.BrinkHookHOOK_STATE); state.Rung == None && t.blocked == nil {
		t.blocked = state.lastRefusal()
	}
	return t, nil
}

// lastRefusal is why not even the lowest rung could be had. Without state
// changes there is nothing that the other hooks could tell of.
func (m *Mode) lastRefusal() error {
	if len(m.Refusals) == 0 {
		return errors.New("there is no hook for " + m.Name)
	}
	last := m.Refusals[len(m.Refusals)-1]
	return fmt.Errorf("no hook for %s by %s: %s", m.Name, last.Rung, last.Reason)
}

func (t *Tracer) createMaps() error {
	_ = rlimit.RemoveMemlock() // before 5.11 maps count against RLIMIT_MEMLOCK
	spec, err := bpf.LoadBrink()
	if err != nil {
		return fmt.Errorf("read the BPF object: %w", err)
	}
	t.options.apply(spec)
	t.spec = spec
	mapsOnly := spec.Copy()
	mapsOnly.Programs = nil
	collection, err := ebpf.NewCollection(mapsOnly)
	if err != nil {
		return fmt.Errorf("create BPF maps: %w", err)
	}
	t.maps = collection.Maps
	t.ring, err = ringbuf.NewReader(t.maps[bpf.BrinkMapEvents])
	return err
}

// carriers are hooks whose programs tell other hooks' events too. They come
// last, because what they must tell depends on what those others got: their
// constants say so.
var carriers = []bpf.BrinkHook{bpf.BrinkHookHOOK_CONNECT, bpf.BrinkHookHOOK_STATE}

// climb attaches hook by hook.
func (t *Tracer) climb() {
	t.modes = make([]Mode, len(hooks))
	for i, h := range hooks {
		if !slices.Contains(carriers, h.ID) {
			t.modes[i] = t.attachHook(h)
		}
	}
	for _, id := range carriers {
		t.modes[indexOf(id)] = t.attachHook(hooks[indexOf(id)])
	}
	for i := range t.modes {
		t.modes[i].carriedBy(t)
	}
}

// notAskedFor is the reason of rungs above Options.Best.
const notAskedFor = "not asked for"

// attachHook tries the ways of a hook in order. A way that another hook carries
// is taken on trust; carriedBy settles it.
func (t *Tracer) attachHook(h Hook) Mode {
	m := Mode{Hook: h, Rung: None, Lost: h.Without}
	for _, way := range h.Ways {
		if way.Rung < t.options.Best {
			m.refuse(way.Rung, notAskedFor)
			continue
		}
		if err := t.attachWay(way); err != nil {
			m.refuse(way.Rung, reason(err))
			continue
		}
		m.way, m.Rung, m.Lost = way, way.Rung, way.Lost
		m.Sources = t.sources(way)
		break
	}
	return m
}

func (t *Tracer) attachWay(way Way) error {
	if way.Rung == Poll {
		return nil
	}
	if t.blocked != nil {
		return t.blocked
	}
	if way.With != 0 {
		return nil
	}
	if err := t.closed[way.Rung]; err != nil {
		return err
	}
	err := t.attachAll(way.Programs)
	t.closed[way.Rung] = closes(way.Rung, err)
	return err
}

// closes is err if it speaks of the whole rung and not of one function alone:
// some kernels refuse every program of type TRACING, others have no kprobes.
func closes(rung Rung, err error) error {
	switch {
	case err == nil:
		return nil
	case rung == Fentry && errors.Is(err, unix.EPERM):
		return err
	case rung == Kprobe && errors.Is(err, errNoKprobes):
		return err
	}
	return nil
}

// attachAll attaches all of a way's programs or none of them.
func (t *Tracer) attachAll(names []string) error {
	var links []link.Link
	for _, name := range names {
		l, err := t.attachProgram(name)
		if err != nil {
			for _, l := range links {
				l.Close()
			}
			return err
		}
		links = append(links, l)
	}
	t.links = append(t.links, links...)
	return nil
}

func (t *Tracer) attachProgram(name string) (link.Link, error) {
	p, err := t.load(name)
	if err != nil {
		return nil, err
	}
	spec := t.spec.Programs[name]
	kind, _, _ := strings.Cut(spec.SectionName, "/")
	switch kind {
	case "fentry", "fexit":
		return link.AttachTracing(link.TracingOptions{Program: p})
	case "kprobe":
		return attachKprobe(link.Kprobe, spec.AttachTo, p)
	case "kretprobe":
		return attachKprobe(link.Kretprobe, spec.AttachTo, p)
	case "tracepoint":
		group, event, _ := strings.Cut(spec.AttachTo, "/")
		return link.Tracepoint(group, event, p, nil)
	default:
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: spec.AttachTo, Program: p})
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
	spec := t.spec.Copy()
	spec.Programs = map[string]*ebpf.ProgramSpec{name: spec.Programs[name]}
	for variable, value := range t.constants(spec.Programs[name]) {
		if err := spec.Variables[variable].Set(value); err != nil {
			return nil, fmt.Errorf("set %s: %w", variable, err)
		}
	}
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: t.shared()})
	if err != nil {
		return nil, err
	}
	defer collection.Close()
	p := collection.DetachProgram(name)
	t.programs[name] = p
	return p, nil
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
	connect := t.mode(bpf.BrinkHookHOOK_CONNECT)
	c[bpf.BrinkVarConnectResults] = connect.Rung < Poll
	c[bpf.BrinkVarConnectBySyscall] = connect.Rung == Tracepoint || p.Type == ebpf.TracePoint
	c[bpf.BrinkVarPortChoices] = t.mode(bpf.BrinkHookHOOK_PORT_CHOICE).Rung <= Kprobe
	c[bpf.BrinkVarTimeWaitResults] = t.mode(bpf.BrinkHookHOOK_TIME_WAIT_ENTER).Rung <= Kprobe
	return c
}

func (m *Mode) refuse(r Rung, why string) {
	if n := len(m.Refusals); n > 0 && m.Refusals[n-1] == (Refusal{r, why}) {
		return // two ways on one rung, and one reason
	}
	m.Refusals = append(m.Refusals, Refusal{r, why})
}

// carriedBy gives a hook that has no programs of its own those of its carrier,
// or takes its rung away if the carrier has none.
func (m *Mode) carriedBy(t *Tracer) {
	if m.Rung == None || m.way.With == 0 {
		return
	}
	carrier := t.mode(m.way.With)
	m.Sources = carrier.Sources
	if carrier.Rung >= Poll {
		m.refuse(m.Rung, "there is no hook for "+carrier.Name)
		m.Rung, m.Lost = None, m.Without
	}
}

func (t *Tracer) sources(way Way) []string {
	if way.Rung == Poll {
		return []string{"poll"}
	}
	sources := make([]string, len(way.Programs))
	for i, name := range way.Programs {
		sources[i] = t.spec.Programs[name].SectionName
	}
	return sources
}

// reason is the first line of the kernel's no: a verifier log has thousands.
func reason(err error) string {
	var verifier *ebpf.VerifierError
	if errors.As(err, &verifier) {
		err = verifier.Cause
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	line, _, _ = strings.Cut(line, " (MEMLOCK") // a guess that is not ours
	if _, after, ok := strings.Cut(line, "load program: "); ok {
		line = "load program: " + after // which one, the hook says
	}
	return line
}

func indexOf(id bpf.BrinkHook) int {
	for i := range hooks {
		if hooks[i].ID == id {
			return i
		}
	}
	panic(fmt.Sprintf("no hook %d in the table", id))
}
