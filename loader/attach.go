package loader

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"brink/bpf"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// Attach gets every hook onto the best rung that this kernel allows. It never
// fails whole: Modes tells what was got, Blocked why nothing was. An error is a
// wrong option.
func Attach(options Options) (*Tracer, error) {
	t := &Tracer{options: options, closed: map[Rung]error{}}
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

func (t *Tracer) createMaps() error {
	_ = rlimit.RemoveMemlock() // before 5.11 maps count against RLIMIT_MEMLOCK
	spec, err := bpf.LoadBrink()
	if err != nil {
		return fmt.Errorf("read the BPF object: %w", err)
	}
	t.options.apply(spec)
	t.spec = spec
	t.types = btf.NewCache()
	mapsOnly := *spec
	mapsOnly.Programs = nil
	collection, err := ebpf.NewCollectionWithOptions(&mapsOnly, ebpf.CollectionOptions{Cache: t.types})
	if err != nil {
		return fmt.Errorf("create BPF maps: %w", err)
	}
	t.maps = collection.Maps
	if err := t.makeOverflow(); err != nil {
		return err
	}
	t.ring, err = ringbuf.NewReader(t.maps[bpf.BrinkMapEvents])
	return err
}

// carriers are hooks whose programs tell other hooks' events too. They come
// last, because what they must tell depends on what those others got: their
// constants say so.
var carriers = []bpf.BrinkHook{
	bpf.BrinkHookHOOK_ACCEPT_QUEUE,
	bpf.BrinkHookHOOK_DESCRIPTORS, bpf.BrinkHookHOOK_BIND, bpf.BrinkHookHOOK_CONNECT, bpf.BrinkHookHOOK_STATE,
}

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
		way.Programs = t.options.needed(way.Programs)
		if way.Rung < t.options.Best {
			m.refuse(way.Rung, notAskedFor)
			continue
		}
		if err := t.attachWay(way); err != nil {
			m.refuse(way.Rung, reason(err))
			continue
		}
		m.take(way)
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

// attachAll attaches all of a way's programs or none of them. A system call that
// this architecture does not have (arm64 has no open) is left out.
func (t *Tracer) attachAll(names []string) error {
	before := len(t.attached)
	loaded, err := t.loadAll(names)
	if err != nil {
		return err
	}
	defer closePrograms(loaded) // what found no place
	for i, name := range names {
		a, err := t.attach(name, loaded)
		if i > 0 && strings.Contains(name, "@") && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			for _, a := range t.attached[before:] {
				a.close()
			}
			t.attached = t.attached[:before]
			return err
		}
		t.attached = append(t.attached, a)
	}
	return nil
}

func (t *Tracer) sources(way Way) []string {
	if way.Rung == Poll {
		return []string{"poll"}
	}
	var sources []string
	var calls []string // a program on several system calls is one source
	for _, name := range way.Programs {
		program, at := t.placeOf(name)
		kind, _, _ := strings.Cut(t.spec.Programs[program].SectionName, "/")
		if call, ok := strings.CutPrefix(at, sysExit); ok && strings.Contains(name, "@") {
			calls = append(calls, call)
			continue
		}
		sources = append(sources, kind+"/"+at)
	}
	if calls != nil {
		sources = append(sources, "tracepoint/"+sysExit+"{"+strings.Join(calls, ", ")+"}")
	}
	return sources
}
