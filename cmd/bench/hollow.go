package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"brink/bpf"
	"brink/loader"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// hollow is brink's programs on the tracepoint rung with nothing in them: what the
// kernel takes for calling them, below which no tracer at these places can come.
const hollow = "hollow"

const hollowReady = "hollow programs attached"

// hollowTracer is nothing where brink has better than tracepoints: then its
// programs are at other places.
func hollowTracer() []tracer {
	t, err := loader.Attach(loader.Options{})
	if err != nil {
		return nil
	}
	defer t.Close()
	if t.Mode("state").Rung != loader.Tracepoint {
		return nil
	}
	return []tracer{{name: hollow, args: []string{"/proc/self/exe", asHollow, hollow}, attached: hollowReady, tracefs: true}}
}

func beHollow([]string) error {
	spec, err := bpf.LoadBrink()
	if err != nil {
		return err
	}
	for _, h := range loader.Hooks() {
		for _, name := range onTracepoints(h) {
			if err := attachHollow(spec, name); err != nil {
				return fmt.Errorf("attach a hollow %s: %w", name, err)
			}
		}
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	fmt.Fprintln(os.Stderr, hollowReady)
	<-interrupted // what is attached goes with the process
	return nil
}

// onTracepoints are the programs of a hook's first way on that rung.
func onTracepoints(h loader.Hook) []string {
	for _, w := range h.Ways {
		if w.Rung == loader.Tracepoint {
			return w.Programs
		}
	}
	return nil
}

// attachHollow attaches a program without content where the hook table has one by
// that name; an architecture need not have each system call.
func attachHollow(spec *ebpf.CollectionSpec, name string) error {
	program, at, given := strings.Cut(name, "@")
	real := spec.Programs[program]
	if !given {
		at = real.AttachTo
	}
	empty, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: real.Type, License: real.License,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return err
	}
	if real.Type == ebpf.RawTracepoint {
		_, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: at, Program: empty})
		return err
	}
	group, event, _ := strings.Cut(at, "/")
	_, err = link.Tracepoint(group, event, empty, nil)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
