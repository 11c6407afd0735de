package main

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// tracerArgs start this binary again, to become the tracer.
func tracerArgs(t tracer, cpu int) []string {
	return append([]string{asTracer, fmt.Sprint(cpu), fmt.Sprint(t.tracefs)}, t.args...)
}

// becomeTracer pins this process and gives it tracefs in a mount namespace of
// its own, where that is wanted, and becomes the tracer.
func becomeTracer(args []string) error {
	if err := hurry(); err != nil && os.Geteuid() == 0 {
		return err
	}
	if args[0] != fmt.Sprint(anyCPU) {
		var cpu int
		if _, err := fmt.Sscan(args[0], &cpu); err != nil {
			return err
		}
		if err := pin(cpu); err != nil {
			return err
		}
	}
	if args[1] == "true" {
		if err := mountTracefs(); err != nil {
			return fmt.Errorf("mount tracefs: %w", err)
		}
	}
	return fmt.Errorf("exec %s: %w", args[2], syscall.Exec(args[2], args[2:], os.Environ()))
}

func mountTracefs() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, "")
}
