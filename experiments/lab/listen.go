package lab

import (
	"context"
	"net/netip"
	"syscall"
	"time"
)

// NoBacklog is listen(fd, 0): an accept queue for one connection.
const NoBacklog = -1

// ListenOptions for a listener, and for what becomes of its connections.
type ListenOptions struct {
	Addr netip.AddrPort
	SocketOptions

	// Backlog is listen()'s: the accept queue holds one more. 0 is as many as
	// net.core.somaxconn allows; for listen(fd, 0) say NoBacklog.
	Backlog int
	// DeferAccept is TCP_DEFER_ACCEPT, in whole seconds: until a client has sent
	// data the server has a request socket for it and no connection, although
	// the client is established. 0 leaves it off.
	DeferAccept time.Duration

	Accept     bool // accept everything in the background
	Greet      bool // send each accepted connection a [Greeting]
	Echo       bool // send back what comes; with Accept only
	CloseOnEOF bool // close a connection once the peer has, which leaves TIME_WAIT to the peer; with Accept only
}

type listeningBound struct {
	Handle  Handle
	Options ListenOptions
}

type naming struct {
	Handle Handle
	List   bool
}

type accepting struct {
	Handle  Handle
	Options AcceptOptions
}

var (
	listen      = define("listen", (*inside).listen)
	listenBound = define("listen on a bound socket", (*inside).listenBound)
	accepted    = define("look at accepted connections", (*inside).accepted)
	acceptN     = define("accept", (*inside).acceptN)
)

// Listen makes a listening socket.
func (w *Worker) Listen(ctx context.Context, o ListenOptions) (Socket, error) {
	return listen.call(ctx, w.member.control, o)
}

// ListenBound lets a socket from Bind listen; Addr and SocketOptions are not looked at.
func (w *Worker) ListenBound(ctx context.Context, h Handle, o ListenOptions) (Socket, error) {
	return listenBound.call(ctx, w.member.control, listeningBound{Handle: h, Options: o})
}

// Accepted is what a listener has accepted so far.
type Accepted struct {
	Count       int                   // ever
	Open        int                   // of these, still open at this end
	Errnos      map[syscall.Errno]int // what accept4() failed with, EAGAIN aside
	Connections []Connection          // those still open, in the order of acceptance; on request
}

// Accepted says what a listener has accepted so far, and lists the connections
// that are open if wanted.
func (w *Worker) Accepted(ctx context.Context, listener Handle, list bool) (Accepted, error) {
	return accepted.call(ctx, w.member.control, naming{Handle: listener, List: list})
}

// AcceptOptions for accepting by hand.
type AcceptOptions struct {
	Count   int
	Every   time.Duration // one each so often; 0: as fast as possible
	Timeout time.Duration // for all of it, 10 s when 0
}

// AcceptResult: with fewer than asked for and no Errno, the time was over.
type AcceptResult struct {
	Accepted int
	Errno    syscall.Errno // that ended it, such as EMFILE
	Elapsed  time.Duration
}

// AcceptN accepts connections of a listener that does not accept by itself,
// until it has so many, the kernel refuses one, or the time is over. They are
// the listener's from then on: see Accepted and CloseAccepted.
func (w *Worker) AcceptN(ctx context.Context, listener Handle, o AcceptOptions) (AcceptResult, error) {
	return acceptN.call(ctx, w.member.control, accepting{Handle: listener, Options: o})
}
