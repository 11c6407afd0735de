package collector

import (
	"net/netip"

	"brink/collector/portrule"
)

// Holder is a socket that holds a port.
type Holder struct {
	PID       uint32 // 0: no process has it open (TIME_WAIT, or it has gone)
	Name      string
	UID       uint32 // the socket's
	Transport Transport
	// State of a UDP socket is Established if it is connected, else Closed.
	State State
	// TimeWait is a timewait socket, that of FIN_WAIT2 as well.
	TimeWait bool
	Local    netip.AddrPort
	Peer     netip.AddrPort // zero for listening and bound sockets
	Options  SocketOptions
	Unknown  portrule.Unknown // which of the Options are not known
	// Rule is why it refused; portrule.UnknownRule if it depends on the unknown.
	Rule portrule.Rule
}

// socket is the holder as the rule sees it.
func (h *Holder) socket() portrule.Socket {
	s := portrule.Socket{
		Transport: h.Transport, Local: h.Local, State: portrule.Connected,
		UID: h.UID, Options: h.Options, Unknown: h.Unknown,
	}
	switch {
	case h.TimeWait:
		s.State = portrule.TimeWait
	case h.State == Listen:
		s.State = portrule.Listening
	case !h.Peer.IsValid():
		s.State = portrule.Bound
	}
	return s
}

// StateName is the value of network.connection.state. UDP has no states; its
// sockets are bound, and may be connected.
func (h *Holder) StateName() string {
	switch {
	case h.Transport == TCP:
		return h.State.String()
	case h.Peer.IsValid():
		return "connected"
	}
	return BoundInactive.String()
}

func (h *Holder) visit(v Visitor) {
	if h.PID != 0 {
		v.Uint(KeyPID, uint64(h.PID))
		visitString(v, KeyProcess, h.Name)
		v.Uint(KeyUID, uint64(h.UID))
	}
	v.String(KeyTransport, h.Transport.String())
	visitString(v, KeyState, h.StateName())
	visitAddress(v, KeyLocalAddress, KeyLocalPort, h.Local)
	visitAddress(v, KeyPeerAddress, KeyPeerPort, h.Peer)
	h.visitOption(v, KeyReuseAddr, portrule.ReuseAddr, h.Options.ReuseAddr)
	h.visitOption(v, KeyReusePort, portrule.ReusePort, h.Options.ReusePort)
	if h.Local.Addr().Is6() {
		h.visitOption(v, KeyV6Only, portrule.V6Only, h.Options.V6Only)
	}
	visitString(v, KeyRule, string(h.Rule))
}

func (h *Holder) visitOption(v Visitor, key string, which portrule.Unknown, on bool) {
	if h.Unknown&which == 0 {
		v.Bool(key, on)
	}
}
