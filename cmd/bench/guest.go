package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"brink/loader/vm"
)

// guestRungs are compared inside: this host may not have them all.
var guestRungs = []string{"fentry", "kprobe", "tracepoint"}

// The sizes that count instructions: to boot a guest for it, and to be inside.
const (
	guest  = "guest"
	inside = "inside"
)

// Places in the guest.
const (
	guestBrink  = "/bin/brink"
	guestBench  = "/bin/bench"
	guestPeers  = "/" // bpftrace finds its libraries where Debian has them
	guestResult = "/tmp/bench.json"
)

// guests runs bench inside an emulated machine with one CPU whose clock counts
// instructions: one is one nanosecond. The result repeats, whatever else this
// host does; what it leaves out is that instructions are not equally long.
func guests(ctx context.Context, s settings) error {
	g, err := guestOf(ctx, s)
	if err != nil {
		return err
	}
	result, err := vm.Boot(ctx, g)
	if err != nil {
		return err
	}
	if failed := result.Failed(); len(failed) > 0 {
		return fmt.Errorf("bench failed in the guest with status %d", failed[0].Status)
	}
	if s.profile { // printed inside already
		return os.WriteFile(s.out, result.Files[guestResult], 0o644)
	}
	b := &benchmark{settings: s}
	var found struct{ Rounds []round }
	if err := json.Unmarshal(result.Files[guestResult], &found); err != nil {
		return fmt.Errorf("result of the guest: %w", err)
	}
	b.rounds = found.Rounds
	for _, r := range b.rounds {
		if b.tracerNamed(r.Tracer) == nil {
			b.tracers = append(b.tracers, tracer{name: r.Tracer})
		}
	}
	slices.SortStableFunc(b.tracers, func(x, y tracer) int { return strings.Compare(group(x.name), group(y.name)) })
	fmt.Printf("Linux %s, emulated: a µs is 1000 instructions\n", result.Release)
	rows := b.rowsOf()
	goals := guestGoals(rows)
	printRows(os.Stdout, rows)
	printGoals(os.Stdout, goals)
	return writeJSON(s.out, map[string]any{"kernel": result.Release, "rows": rows, "rounds": b.rounds, "goals": goals})
}

// group sorts untraced first, then brink's tracers and what they are without their
// programs, then the peers.
func group(name string) string {
	switch {
	case name == untraced:
		return "0"
	case strings.HasPrefix(name, "brink"), strings.HasPrefix(name, hollow):
		return "1"
	}
	return "2"
}

func guestOf(ctx context.Context, s settings) (g vm.Guest, err error) {
	i := slices.IndexFunc(vm.Kernels, func(k vm.Kernel) bool { return k.Series == s.kernel })
	if i < 0 {
		return g, fmt.Errorf("-kernel %s: there is none such among the guests' kernels", s.kernel)
	}
	self, err := os.Executable()
	if err != nil {
		return g, err
	}
	p, err := fetchPeers(ctx, "-guest", append(peersPackages, scriptPackages...))
	if err != nil {
		return g, err
	}
	files, err := p.files()
	if err != nil {
		return g, err
	}
	args := []string{guestBench, "-brink", guestBrink, "-peers", guestPeers, "-out", guestResult,
		"-size", inside, "-rows", timeWait, "-rung", strings.Join(guestRungs, ","), "-tracers", s.tracers,
		"-rounds", fmt.Sprint(s.rounds), "-connections", fmt.Sprint(s.count)}
	if s.profile {
		args = append(args, "-profile")
	}
	return vm.Guest{
		Kernel: vm.Kernels[i],
		Files:  append(files, vm.File{Path: guestBrink, From: s.brink}, vm.File{Path: guestBench, From: self}),
		// Several commands would do, too, but one can alternate.
		Commands: []vm.Command{{Args: args}},
		Fetch:    []string{guestResult},
		Icount:   true,
		Memory:   2048,
		Timeout:  40 * time.Minute,
		Output:   os.Stderr,
	}, nil
}

// files are the peers' for a guest, with all that they are linked with: it has none of that.
func (p peers) files() (files []vm.File, err error) {
	wanted := []string{peerLinker, peerBpftrace, peerScript}
	for _, name := range []string{tcplife, tcpstates, tcpconnect, tcptracer, bindsnoop} {
		wanted = append(wanted, filepath.Join(peerPrograms, name))
	}
	for i := 0; i < len(wanted); i++ { // it grows
		body, err := os.ReadFile(filepath.Join(p.root, wanted[i]))
		if err != nil {
			return nil, err
		}
		files = append(files, vm.File{Path: filepath.Join(guestPeers, wanted[i]), Data: body})
		libraries, err := p.linkedWith(body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", wanted[i], err)
		}
		for _, library := range libraries {
			if !slices.Contains(wanted, library) {
				wanted = append(wanted, library)
			}
		}
	}
	linker := files[0]
	linker.Path = filepath.Join(guestPeers, programLinker)
	header := vm.File{Path: filepath.Join(guestPeers, scriptHeader), Data: []byte(scriptHeaderText)}
	return append(files, linker, header), nil
}

// programLinker is where programs for amd64 name it: in Debian a link to peerLinker.
const programLinker = "lib64/ld-linux-x86-64.so.2"

// scriptHeader is what tcplife.bt includes for these two numbers: libc's own takes the
// kernel's headers with it.
const (
	scriptHeader     = "usr/include/sys/socket.h"
	scriptHeaderText = "#define AF_INET 2\n#define AF_INET6 10\n"
)

// linkedWith are the libraries that a program or library asks for, as files of the
// peers' folder; a script asks for none.
func (p peers) linkedWith(body []byte) (libraries []string, err error) {
	if !bytes.HasPrefix(body, []byte(elf.ELFMAG)) {
		return nil, nil
	}
	file, err := elf.NewFile(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	names, err := file.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		dir := slices.IndexFunc(peerLibraries, func(dir string) bool { return exists(filepath.Join(p.root, dir, name)) })
		if dir < 0 {
			return nil, errors.New("the peers' folder has no " + name)
		}
		libraries = append(libraries, filepath.Join(peerLibraries[dir], name))
	}
	return libraries, nil
}

// guestGoals: on each rung a part of what tcplife adds; and kprobes not too far
// from fentry.
func guestGoals(rows []row) (goals []goal) {
	peer, ok := find(rows, loads[0].name, tcplife)
	if !ok {
		return nil
	}
	for _, mode := range []string{agent, jsonLines} {
		for _, rung := range guestRungs {
			w, found := find(rows, loads[0].name, mode+"/"+rung)
			if !found {
				continue
			}
			empty, _ := find(rows, loads[0].name, hollow+"/"+rung)
			g := newGoal(w.Tracer+": instructions added, of what tcplife adds", w.Added.Median/peer.Added.Median, 1./5, "")
			g.Limit = limitOf(w, empty, peer.Added.Median)
			goals = append(goals, g)
		}
		if ratio, found := kprobesOfFentry(rows, mode); found {
			g := newGoal(mode+": added by kprobes, of what fentry adds", ratio, 2, "")
			if empty, found := kprobesOfFentry(rows, hollow); found {
				g.Limit = fmt.Sprintf("empty programs alone %.3g", empty)
			}
			goals = append(goals, g)
		}
	}
	return goals
}

// kprobesOfFentry is what a tracer adds by kprobes, of what it adds by fentry.
func kprobesOfFentry(rows []row, tracer string) (ratio float64, found bool) {
	fentry, found := find(rows, loads[0].name, tracer+"/fentry")
	kprobe, also := find(rows, loads[0].name, tracer+"/kprobe")
	return kprobe.Added.Median / fentry.Added.Median, found && also
}
