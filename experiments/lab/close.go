package lab

import "context"

// How a socket is closed.
type How int

const (
	// CloseNormally is close(): a FIN; the end that sends it first has TIME_WAIT.
	CloseNormally How = iota
	// CloseReset is close() with SO_LINGER of 0 s: a RST, and nothing remains.
	CloseReset
	// ShutdownWrite is shutdown(SHUT_WR): a FIN, and the socket stays open.
	ShutdownWrite
)

type closing struct {
	Sockets Sockets
	How     How
}

type closingAccepted struct {
	Listener Handle
	How      How
}

var (
	closeSockets  = define("close sockets", (*inside).closeSockets)
	closeAccepted = define("close accepted connections", (*inside).closeAccepted)
	closeAll      = define("close all sockets", (*inside).closeAll)
)

// CloseSockets closes those of the sockets that are open and says how many
// they were. It returns when the calls have; the packets may still be under way.
func (w *Worker) CloseSockets(ctx context.Context, s Sockets, how How) (int, error) {
	return closeSockets.call(ctx, w.member.control, closing{Sockets: s, How: how})
}

// CloseAccepted closes what a listener has accepted, and not the listener.
func (w *Worker) CloseAccepted(ctx context.Context, listener Handle, how How) (int, error) {
	return closeAccepted.call(ctx, w.member.control, closingAccepted{Listener: listener, How: how})
}

// CloseAll closes every socket of the worker, accepted ones and listeners too.
func (w *Worker) CloseAll(ctx context.Context, how How) (int, error) {
	return closeAll.call(ctx, w.member.control, how)
}
