package lab

import "context"

// A SocketProgram is a [Program] that opens sockets to stay: those that it keeps
// are the worker's from then on, and closed with all others (CloseAll).
type SocketProgram[A, R any] struct {
	operation operation[A, R]
}

// DefineSocketProgram is DefineProgram for such a one.
func DefineSocketProgram[A, R any](name string, run func(arguments A, keep func(fds ...int) Sockets) (R, error)) SocketProgram[A, R] {
	return SocketProgram[A, R]{define("program "+name, func(in *inside, arguments A) (R, error) {
		return run(arguments, in.sockets.add)
	})}
}

// Run is Program.Run.
func (p SocketProgram[A, R]) Run(ctx context.Context, w *Worker, arguments A) (R, error) {
	return p.operation.call(ctx, w.member.control, arguments)
}
