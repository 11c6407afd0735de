package vm

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// A Guest is one boot of one kernel: what goes in and what runs there. The
// zero value of every field but Kernel and Commands works.
type Guest struct {
	Kernel   Kernel
	Files    []File
	Commands []Command

	// Fetch names guest files to bring back after the commands. One that is
	// not there is absent from Result.Files.
	Fetch []string

	// Tracefs mounts tracefs at /sys/kernel/tracing. By default it is not
	// mounted, as on many new hosts: a tool that needs it has to cope.
	Tracefs bool

	// NoModules leaves all modules out: a host that never used NAT or
	// sock_diag. Nothing loads them on demand in a guest.
	NoModules bool

	Memory  int           // MiB; 1024
	CPUs    int           // 2, or 1 with Icount
	Timeout time.Duration // for the whole guest; 5 minutes

	// Icount makes emulated time count instructions, so that durations inside
	// the guest repeat from run to run. It forces one CPU.
	Icount bool

	// Output receives the commands' output as it comes.
	Output io.Writer
}

// A File is put into the guest.
type File struct {
	Path string // in the guest
	From string // the host's file, or
	Data []byte // the content itself
	Mode uint32 // 0755
}

// A Command runs as root in the guest, after the one before it ended however
// it ended. Its standard output and error come back as one stream of text
// (for bytes, write a file and fetch it). A process left in the background
// that keeps the output open keeps the command open, too.
type Command struct {
	Args []string
	Env  []string // "KEY=value", besides PATH, HOME and TMPDIR
	Dir  string   // "/"
}

// Shell is a command that runs a script with the guest's busybox shell.
func Shell(script string) Command { return Command{Args: []string{"/bin/sh", "-c", script}} }

// A Result is what came back. After an error it holds what had come until then.
type Result struct {
	Kernel   Kernel
	Release  string // uname -r
	Commands []CommandResult
	Files    map[string][]byte
	Console  string        // what the kernel wrote
	Boot     time.Duration // from starting QEMU to the first command
	Total    time.Duration
}

// A CommandResult is one command's end. The status is the shell's: 128 and the
// signal's number when one killed the command, 127 when there is no such file.
type CommandResult struct {
	Command  Command
	Status   int
	Output   string
	Duration time.Duration // as the host saw it
}

// Failed returns the commands that did not exit with status 0.
func (r Result) Failed() []CommandResult {
	var failed []CommandResult
	for _, c := range r.Commands {
		if c.Status != 0 {
			failed = append(failed, c)
		}
	}
	return failed
}

// What can go wrong with a guest as a whole, as opposed to a command in it.
var (
	ErrPanic     = errors.New("kernel panic")
	ErrHang      = errors.New("guest did not end in time")
	ErrTruncated = errors.New("guest ended before all results came")
	ErrSetup     = errors.New("guest setup failed")
)

func (g Guest) withDefaults() (Guest, error) {
	if g.Kernel == (Kernel{}) {
		return g, errors.New("guest has no kernel")
	}
	if len(g.Commands) == 0 {
		return g, errors.New("guest has no commands")
	}
	for i, c := range g.Commands {
		if len(c.Args) == 0 {
			return g, fmt.Errorf("command %d is empty", i)
		}
	}
	if g.Memory == 0 {
		g.Memory = 1024
	}
	if g.CPUs == 0 {
		g.CPUs = 2
	}
	if g.Icount {
		g.CPUs = 1
	}
	if g.Timeout == 0 {
		g.Timeout = 5 * time.Minute
	}
	if g.Output == nil {
		g.Output = io.Discard
	}
	return g, nil
}
