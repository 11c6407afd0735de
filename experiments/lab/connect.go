package lab

import (
	"context"
	"net/netip"
	"syscall"
	"time"
)

// ConnectOptions: Count connections, to the addresses in To in turn.
type ConnectOptions struct {
	To   []netip.AddrPort
	From netip.AddrPort // bound before connecting; zero leaves source and port to connect(), port 0 has bind() choose
	SocketOptions

	Count int           // 0: one for each address in To
	Every time.Duration // one is begun each so often; 0: as fast as possible

	// Timeout is the patience for one connection, 10 s when 0. A connection that
	// is still unanswered then counts with EINPROGRESS: the kernel has not
	// refused it, it goes on sending SYNs.
	Timeout time.Duration
	// Concurrent begins every connection before it waits for the first.
	Concurrent bool
	// KeepGoing goes on after a refusal. Otherwise the first one ends it.
	KeepGoing bool

	Locals   bool // list the local addresses
	Greeting bool // read the greeting of a listener that has Greet
}

// ConnectResult says what the kernel gave and what it refused. Every socket
// that did not connect is closed again.
type ConnectResult struct {
	Attempts, Opened int
	Sockets          Sockets // those that are open

	// FailedCall is that of the first refusal: "socket", "setsockopt", "bind",
	// "connect"; "read" of the greeting, with ETIMEDOUT when none came and
	// ENODATA when the server closed instead.
	FailedCall string
	Errno      syscall.Errno // of the first refusal too; 0 when nothing was refused
	Errnos     map[syscall.Errno]int

	Locals    []netip.AddrPort // on request, in the order of Sockets
	Greetings []Greeting       // on request, in the same order

	Elapsed time.Duration
}

// A Connection is one connection as one of its ends sees it.
type Connection struct{ Local, Peer netip.AddrPort }

// Greeting is what the far end said over the connection: how it sees it. With
// the client's own view of it, it proves who talks to whom.
type Greeting struct{ Server, Client netip.AddrPort }

type connectingBound struct {
	Handle  Handle
	To      netip.AddrPort
	Timeout time.Duration
}

var (
	connect      = define("connect", (*inside).connect)
	connectBound = define("connect a bound socket", (*inside).connectBound)
)

// Connect opens connections until they are all open or one is refused. The
// refusals are in the result; the error is for what kept it from trying.
func (w *Worker) Connect(ctx context.Context, o ConnectOptions) (ConnectResult, error) {
	return connect.call(ctx, w.member.control, o)
}

// ConnectBound connects a socket from Bind; timeout is 10 s when 0. After a
// [*Refusal] it may be tried again. A port that bind() chose is lost by then,
// one that was asked for stays (SOCK_BINDPORT_LOCK).
func (w *Worker) ConnectBound(ctx context.Context, h Handle, to netip.AddrPort, timeout time.Duration) (Connection, error) {
	return connectBound.call(ctx, w.member.control, connectingBound{Handle: h, To: to, Timeout: timeout})
}
