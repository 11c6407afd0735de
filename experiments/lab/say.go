package lab

import "context"

type saying struct {
	Handle Handle
	Line   string
}

var say = define("say", (*inside).say)

// Say writes a line on a connection and returns the line that comes back,
// which is the same one when the far end's listener has Echo. It proves that a
// connection still carries data, both ways.
func (w *Worker) Say(ctx context.Context, h Handle, line string) (string, error) {
	return say.call(ctx, w.member.control, saying{Handle: h, Line: line})
}
