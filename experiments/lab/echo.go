package lab

import (
	"context"
	"time"
)

// EchoOptions: one byte goes out on each of the connections before the first
// answer is awaited.
type EchoOptions struct {
	Sockets Sockets
	Want    int           // so many answers end it; 0: one from each
	Timeout time.Duration // for all of it, 10 s when 0
}

var echoAll = define("echo", (*inside).echoAll)

// EchoAll says on how many of the connections the byte came back. It proves that
// somebody serves them, all at the same time.
func (w *Worker) EchoAll(ctx context.Context, o EchoOptions) (answered int, err error) {
	return echoAll.call(ctx, w.member.control, o)
}
