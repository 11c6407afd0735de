package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A tracer is a program that watches connections, and how to know what it does.
type tracer struct {
	name string
	args []string

	// attached is a word of its standard error once it sees everything; without
	// one, its BPF link is waited for.
	attached string

	// lines is how many ends of a load's connections its output tells of; nil
	// where it prints none.
	lines func(output string, p *prepared) (int, error)

	// ends of each connection are told; 0 stands for both.
	ends int
	// lost is how many records, or ends of connections, it says itself that it
	// has not told; nil where it does not know.
	lost func(*running) (uint64, error)
	// web is where it answers; nowhere for most.
	web string
	// tracefs is mounted for those that do not bring their own.
	tracefs bool
}

// at lets brink come no closer to the kernel than a rung; "" is its own choice.
func (t tracer) at(rung string) tracer {
	if rung != "" {
		t.name += "/" + rung
		t.args = append(t.args, "--rung", rung)
	}
	return t
}

// running is a tracer at work.
type running struct {
	tracer
	cmd    *exec.Cmd
	file   *os.File // its standard output,
	output string   // by a name
	start  time.Duration
	errors *transcript
}

// anyCPU lets a tracer run where it likes.
const anyCPU = -1

// attachPatience is how long a tracer may take until it sees everything.
const attachPatience = 30 * time.Second

// startTracer returns when the tracer sees every connection.
func startTracer(ctx context.Context, t tracer, cpu int) (*running, error) {
	output, err := memoryFile("output of " + t.name)
	if err != nil {
		return nil, err
	}
	r := &running{tracer: t, file: output, errors: newTranscript(t.attached)}
	r.output = fmt.Sprintf("/proc/self/fd/%d", output.Fd())
	r.cmd = exec.CommandContext(ctx, "/proc/self/exe", tracerArgs(t, cpu)...)
	r.cmd.Cancel = func() error { return r.cmd.Process.Signal(os.Interrupt) }
	r.cmd.WaitDelay = 5 * time.Second
	r.cmd.Stdout, r.cmd.Stderr = output, r.errors
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	if err := r.begin(ctx); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// begin starts the process and waits until it is at work, or ends it.
func (r *running) begin(ctx context.Context) error {
	begun := time.Now()
	if err := startKept(r.cmd); err != nil {
		return fmt.Errorf("start %s: %w", r.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, attachPatience)
	defer cancel()
	err := r.wait(ctx)
	r.start = time.Since(begun)
	if err == nil {
		err = r.ready(ctx)
	}
	if err != nil {
		r.cmd.Process.Kill()
		r.cmd.Wait()
	}
	return err
}

func (r *running) wait(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.errors.found:
			return nil
		case <-tick.C:
			if r.attached == "" && len(programsOf(r.cmd.Process.Pid)) > 0 {
				time.Sleep(linkedToReading)
				return nil
			}
			if ended(r.cmd.Process.Pid) {
				return fmt.Errorf("%s ended at once: %s", r.name, r.errors)
			}
		case <-ctx.Done():
			return fmt.Errorf("%s is not attached: %w: %s", r.name, ctx.Err(), r.errors)
		}
	}
}

// linkedToReading is from a peer's link to its reading: it opens a buffer for
// each CPU next. The counts say whether it was enough.
const linkedToReading = 300 * time.Millisecond

// stop ends the tracer as ctrl-C does, and waits for what it says last.
func (r *running) stop() error {
	r.cmd.Process.Signal(os.Interrupt)
	killer := time.AfterFunc(attachPatience, func() { r.cmd.Process.Kill() })
	defer killer.Stop()
	err := r.cmd.Wait()
	if err != nil && r.lost != nil {
		return fmt.Errorf("%s: %w: %s", r.name, err, r.errors)
	}
	return nil // a peer may end by the signal
}

// close gives the output back, which stop leaves to be read.
func (r *running) close() { r.file.Close() }

// memoryFile is a file without a disk, and without a name to be left behind.
func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// ended reports whether a child has ended and waits to be reaped.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z")
}
