package lab

import (
	"context"
	"net/netip"
)

// A Handle names one socket in one worker. 0 is none.
type Handle int

// Sockets is a run of handles, from First on.
type Sockets struct {
	First Handle
	Count int
}

// A Socket is one socket and the address it is bound to.
type Socket struct {
	Handle Handle
	Addr   netip.AddrPort
}

// Sockets is the run of this one socket.
func (s Socket) Sockets() Sockets { return Sockets{First: s.Handle, Count: 1} }

// SocketOptions are set between socket() and bind(). The zero value sets none.
type SocketOptions struct {
	ReuseAddr         bool      // SO_REUSEADDR
	ReusePort         bool      // SO_REUSEPORT
	BindAddressNoPort bool      // IP_BIND_ADDRESS_NO_PORT (4.2): bind(addr, 0) leaves the port to connect()
	V6Only            *bool     // IPV6_V6ONLY; nil leaves it to net.ipv6.bindv6only
	LocalPortRange    [2]uint16 // IP_LOCAL_PORT_RANGE (6.3), low and high
	Linger0           bool      // SO_LINGER of 0 s: close() resets, and nothing enters TIME_WAIT
}

// BindOptions: a port of 0 has the kernel choose, at bind().
type BindOptions struct {
	Addr netip.AddrPort
	SocketOptions
}

var bindSocket = define("bind", (*inside).bind)

// Bind makes a socket and binds it, no more. ListenBound and ConnectBound
// take it further.
func (w *Worker) Bind(ctx context.Context, o BindOptions) (Socket, error) {
	return bindSocket.call(ctx, w.member.control, o)
}

// Until is how far repeated calls came before the kernel refused.
type Until struct {
	Sockets Sockets // those that the kernel gave
	Refusal *Refusal
}

var openUntilRefused = define("open sockets", (*inside).openUntilRefused)

// OpenSocketsUntilRefused calls socket() until it fails. Bound it by
// WorkerOptions.NoFile: without, it can fill a table of 2^30 descriptors.
func (w *Worker) OpenSocketsUntilRefused(ctx context.Context) (Until, error) {
	return openUntilRefused.call(ctx, w.member.control, none{})
}
