package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// What this binary is started again for.
const (
	asLoad   = "as-load"
	asCrowd  = "as-crowd"
	asMember = "as-member"
	asTracer = "as-tracer"
	asHollow = "as-hollow"
)

// beOther makes this process what bench has started it for. It returns in the
// process that the user started.
func beOther() {
	if len(os.Args) < 3 {
		return
	}
	selves := map[string]func([]string) error{asLoad: beLoad, asCrowd: beCrowd, asMember: beMember, asTracer: becomeTracer, asHollow: beHollow}
	be, ok := selves[os.Args[1]]
	if !ok {
		return
	}
	runtime.LockOSThread() // what is pinned is a thread
	if err := be(os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "bench %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	os.Exit(0)
}

// startAs starts this binary again, in new namespaces if flags ask for them. It
// is killed should its parent be.
func startAs(ctx context.Context, as string, what any, flags uintptr) (*worker, error) {
	text, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", as, string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL, Setsid: true}
	cmd.Stderr = os.Stderr
	orders, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := startKept(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", as, err)
	}
	return &worker{cmd, orders, bufio.NewReader(said)}, nil
}

// A worker is a process that this binary started as another self of its own.
type worker struct {
	cmd    *exec.Cmd
	orders io.WriteCloser
	said   *bufio.Reader
}

func (w *worker) listen() (done work, err error) {
	line, err := w.said.ReadBytes('\n')
	if err != nil {
		return done, fmt.Errorf("a process of the load ended early: %w", err)
	}
	return done, json.Unmarshal(line, &done)
}

func (w *worker) order() error {
	_, err := w.orders.Write([]byte{'\n'})
	return err
}

func (w *worker) close() {
	w.orders.Close()
	w.cmd.Wait()
}
