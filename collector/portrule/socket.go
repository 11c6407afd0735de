package portrule

import "net/netip"

// Socket is one that asks for a port or holds it, as the rule sees it.
type Socket struct {
	Transport Transport
	// Local is what it is bound to, or asks for. An AF_INET6 socket that asks for
	// an IPv4 address does so as ::ffff:a.b.c.d; of a holder only Predict can tell
	// the difference.
	Local netip.AddrPort
	State State
	// UID is whose the socket is (sk_uid: the euid of its maker, or fchown). As
	// sock_diag tells it: before 6.17 a socket that no file belongs to is root's
	// (sock_i_uid), for the rule as well.
	UID uint32
	Options
	// Unknown names what of the Options is not known. Only a holder's may be.
	Unknown Unknown
	// Origin matters to Predict alone.
	Origin Origin
}

// Options are those that decide whether two sockets may share a port.
type Options struct {
	ReuseAddr bool // SO_REUSEADDR
	ReusePort bool // SO_REUSEPORT
	// V6Only is IPV6_V6ONLY, or net.ipv6.bindv6only when it was made. bind() sets
	// it for every IPv6 address but the wildcard (__inet6_bind); connect() and
	// accept() do not.
	V6Only bool
	Device uint32 // SO_BINDTODEVICE, an interface's index; 0 for none
}

// Transport is what a port belongs to: TCP and UDP number theirs apart.
type Transport uint8

// The zero Transport is TCP.
const (
	TCP Transport = iota
	UDP
)

// String is the value of network.transport.
func (t Transport) String() string {
	if t == UDP {
		return "udp"
	}
	return "tcp"
}

// State is as much of a socket's state as the rule looks at.
type State uint8

// Of the socket that asks, Listening says that listen() does: it runs the same
// rule again for the port that bind() got. UDP sockets are Bound or Connected.
const (
	Bound State = iota
	Listening
	Connected
	// TimeWait is a timewait socket, that of FIN_WAIT2 as well. It keeps the
	// options that the connection had (tw_reuse, tw_reuseport), which nothing
	// tells, and is nobody's: of SO_REUSEPORT it does not ask by whom.
	TimeWait
)

// Unknown is a set of options that are not known.
type Unknown uint8

// The options that may be unknown; a socket's device never is.
const (
	ReuseAddr Unknown = 1 << iota
	ReusePort
	V6Only
)

// Origin is how a TCP socket came to its port, which the table remembers.
type Origin uint8

// A connection that was bound before it connected is ByBind.
const (
	ByBind Origin = iota
	ByConnect
	ByAccept
)
