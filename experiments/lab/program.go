package lab

import "context"

// A Program is code of an experiment's own that runs inside a worker, where the
// lab has no operation for it: an HTTP server, a resolver. It may leave
// goroutines and package variables behind in the worker's process, for its next
// call there to find.
type Program[A, R any] struct {
	operation operation[A, R]
}

// DefineProgram is for a package variable: the worker, which is the same binary,
// must know the program too. Arguments and results travel as JSON.
func DefineProgram[A, R any](name string, run func(A) (R, error)) Program[A, R] {
	return Program[A, R]{define("program "+name, func(_ *inside, arguments A) (R, error) { return run(arguments) })}
}

// Run runs the program inside a worker; it may run several at once. When ctx
// ends it returns at once, and the program goes on until the worker is closed.
func (p Program[A, R]) Run(ctx context.Context, w *Worker, arguments A) (R, error) {
	return p.operation.call(ctx, w.member.control, arguments)
}
