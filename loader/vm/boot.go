package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// powerOffGrace is how long a guest may take to power off once its results
// are here, or are known not to come. After that QEMU is killed.
const powerOffGrace = 5 * time.Second

// Boot fetches the guest's kernel if need be, boots it, runs the commands and
// returns their results. A command that fails is no error of Boot's; a guest
// that panics, hangs, cannot be set up or loses output is.
func Boot(ctx context.Context, g Guest) (Result, error) {
	result := Result{Kernel: g.Kernel}
	g, err := g.withDefaults()
	if err != nil {
		return result, err
	}
	image, err := Fetch(ctx, g.Kernel)
	if err != nil {
		return result, err
	}
	result.Release = image.Release
	dir, err := os.MkdirTemp("", "brink-vm-")
	if err != nil {
		return result, err
	}
	defer os.RemoveAll(dir)

	ctx, cancel := context.WithTimeoutCause(ctx, g.Timeout, ErrHang)
	defer cancel()
	err = run(ctx, g, image, dir, &result)
	if err != nil {
		err = fmt.Errorf("guest %s: %w%s", g.Kernel, err, hint(result.Console))
	}
	return result, err
}

// run is one life of a machine: start, decode, end, and the verdict on it.
func run(ctx context.Context, g Guest, image Image, dir string, result *Result) error {
	start := time.Now()
	defer func() { result.Total = time.Since(start) }()
	m, err := startMachine(ctx, g, image, dir)
	if err != nil {
		return err
	}
	defer m.kill()
	decoded := newDecoder(g, result, start).decode(m.frames)
	timer := time.AfterFunc(powerOffGrace, m.kill)
	defer timer.Stop()
	ended := m.wait()
	console, _ := os.ReadFile(m.console) // absent when QEMU did not get that far
	result.Console = string(console)
	return verdict(ctx, decoded, ended, result.Console)
}

// verdict picks the cause out of the symptoms: whatever ended the guest also
// truncated its output and gave QEMU a bad exit.
func verdict(ctx context.Context, decoded, ended error, console string) error {
	switch {
	case decoded == nil:
		return nil // all results are here; how QEMU ended does not matter
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case strings.Contains(console, "Kernel panic"):
		return errors.Join(fmt.Errorf("%w: %s", ErrPanic, panicCause(console)), decoded)
	case ended != nil:
		return errors.Join(decoded, ended)
	}
	return decoded
}

// panicCause is the kernel's own words for why: they come before a trace that
// may be longer than the end of the console that is shown.
func panicCause(console string) string {
	var causes []string
	for line := range strings.Lines(console) {
		for _, mark := range []string{"BUG:", "Oops:", "Kernel panic"} {
			if _, cause, ok := strings.Cut(line, mark); ok {
				causes = append(causes, mark+strings.TrimRight(cause, "\r\n"))
				break
			}
		}
	}
	return strings.Join(causes[:min(3, len(causes))], "; ")
}

// hint is the end of what the kernel said.
func hint(console string) string {
	if strings.TrimSpace(console) == "" {
		return ""
	}
	return "\nthe console ended with:\n" + lastLines(console, 30)
}
