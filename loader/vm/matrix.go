package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// MatrixOptions say what runs on which kernels.
type MatrixOptions struct {
	Kernels []Kernel // all of them

	// Guest is the pattern for each kernel's guest: files, commands, memory.
	// Its Kernel is set, and its Output ignored.
	Guest Guest

	// Adjust changes one kernel's guest, where the pattern does not fit all.
	Adjust func(*Guest)

	Parallel int // guests at a time; 2

	// Output receives all guests' output, each line with its kernel in front.
	Output io.Writer
}

// Matrix runs a guest on each kernel and returns the results in the kernels'
// order. It does not stop at the first failure: which kernels fail is the
// point. The error joins those of guests that broke; failed commands are in
// the results (see Report).
func Matrix(ctx context.Context, opts MatrixOptions) ([]Result, error) {
	if opts.Kernels == nil {
		opts.Kernels = Kernels
	}
	if opts.Parallel <= 0 {
		opts.Parallel = 2
	}
	if opts.Output == nil {
		opts.Output = io.Discard
	}
	results := make([]Result, len(opts.Kernels))
	errs := make([]error, len(opts.Kernels))
	var output sync.Mutex
	var guests sync.WaitGroup
	slots := make(chan struct{}, opts.Parallel)
	for i, kernel := range opts.Kernels {
		g := opts.guest(kernel)
		g.Output = &prefixWriter{to: opts.Output, prefix: "[" + kernel.String() + "] ", lock: &output}
		guests.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i], errs[i] = Boot(ctx, g)
		})
	}
	guests.Wait()
	return results, errors.Join(errs...)
}

// guest is the pattern made out for one kernel.
func (o MatrixOptions) guest(kernel Kernel) Guest {
	g := o.Guest
	g.Kernel = kernel
	// Clipped, so that appending for one kernel leaves the others' slices alone.
	g.Files, g.Commands, g.Fetch = slices.Clip(g.Files), slices.Clip(g.Commands), slices.Clip(g.Fetch)
	if o.Adjust != nil {
		o.Adjust(&g)
	}
	return g
}

// A prefixWriter puts a prefix before each line. The decoder writes whole
// lines, so there are no parts to keep.
type prefixWriter struct {
	to     io.Writer
	prefix string
	lock   *sync.Mutex
}

func (w *prefixWriter) Write(p []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if _, err := io.WriteString(w.to, w.prefix+string(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Report writes one line a kernel and one a command that failed, and says
// whether everything ran and exited with status 0.
func Report(w io.Writer, results []Result) (ok bool) {
	ok = len(results) > 0
	for _, r := range results {
		fmt.Fprintf(w, "%-14s %-32s boot %5.1fs total %5.1fs  %d commands, %d failed\n",
			r.Kernel, r.Release, r.Boot.Seconds(), r.Total.Seconds(), len(r.Commands), len(r.Failed()))
		for _, c := range r.Failed() {
			fmt.Fprintf(w, "    status %d after %s: %s %s\n", c.Status,
				c.Duration.Round(time.Millisecond), strings.Join(c.Command.Env, " "), strings.Join(c.Command.Args, " "))
		}
		ok = ok && len(r.Commands) > 0 && len(r.Failed()) == 0
	}
	return ok
}
