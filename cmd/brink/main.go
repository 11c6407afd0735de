// Command brink says how close this host is to its TCP limits, and why a
// connect failed.
//
//	main ─→ one file a subcommand ─→ loader (into the kernel)
//	                               ─→ collector and its sinks (out of it)
//	                               ─→ experiments (limits pushed in private namespaces)
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"brink/experiments/lab"

	"github.com/urfave/cli/v2"
)

// version is set by the Makefile from git.
var version = "devel"

// Exit statuses, as the contract has them.
const (
	exitFailure = 1 // a verdict other than held, or a failure at run time
	exitUsage   = 2 // wrong use
)

// The main thread stays the main goroutine's, which does nothing but wait: a
// thread that looks into another network namespace and could not come back ends,
// but the main one cannot, and /proc/PID/ns would show that namespace for good.
func init() { runtime.LockOSThread() }

func main() {
	lab.Main() // a worker of an experiment's lab never gets past this
	done := make(chan int)
	go func() { done <- execute() }()
	os.Exit(<-done)
}

// execute is the program; its result is the exit status.
func execute() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second ctrl-C ends brink at once
	}()
	a := app()
	a.Setup() // so that flagsFirst finds the commands
	return status(a.RunContext(ctx, flagsFirst(a, os.Args)))
}

func app() *cli.App {
	wrong := func(_ *cli.Context, err error, _ bool) error { return usageError{err} }
	commands := []*cli.Command{runCommand(), listCommand(), traceCommand(), limitsCommand(), whyCommand(), predictCommand(), agentCommand(), listenCommand(), connectCommand(), doctorCommand()}
	for _, c := range commands {
		c.OnUsageError = wrong
	}
	return &cli.App{
		Name:    "brink",
		Usage:   "how close is this host to its TCP limits, and why did that connect fail?",
		Version: version,
		Description: "brink watches the kernel with eBPF and says what happened to each connection's 4-tuple,\n" +
			"and which limit said no, to whom. Its experiments push connections to each limit in\n" +
			"private network namespaces and hold a prediction against the measurement against the\n" +
			"kernel's own evidence.",
		Commands:        commands,
		Suggest:         true,
		HideHelpCommand: true,
		OnUsageError:    wrong,
		CommandNotFound: func(c *cli.Context, name string) {
			fmt.Fprintf(os.Stderr, "brink: there is no command %q: see brink --help\n", name)
			os.Exit(exitUsage)
		},
		ExitErrHandler: func(*cli.Context, error) {}, // status decides
	}
}

// usageError is wrong use, as against a failure.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errNotHeld ends a run whose table has told the reason already.
var errNotHeld = errors.New("not every verdict is held")

func status(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNotHeld):
		return exitFailure
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "brink: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(os.Stderr, "brink: %v\n", err)
	return exitFailure
}
