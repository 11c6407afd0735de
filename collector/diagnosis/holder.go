package diagnosis

import (
	"fmt"
	"net/netip"
	"strings"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/portrule"
	"brink/collector/sockdiag"

	"golang.org/x/sys/unix"
)

// Holder is a socket that has a port, with whose it is and its options.
type Holder struct {
	sockdiag.Socket
	Process sockdiag.Process // PID 0: nobody's, or whose is not known
	Options portrule.Options
	Unknown portrule.Unknown // which of the Options are not known
	Unit    string           // what runs the process: "nginx.service", "container 0123456789ab"
}

func (h *Holder) transport() portrule.Transport {
	if h.Protocol == unix.IPPROTO_UDP {
		return portrule.UDP
	}
	return portrule.TCP
}

func (h *Holder) tcp() bool { return h.transport() == portrule.TCP }

func (h *Holder) peer() netip.AddrPort {
	if h.Peer.Port() == 0 {
		return netip.AddrPort{}
	}
	return h.Peer
}

func (h *Holder) listens() bool { return h.tcp() && collector.State(h.State) == collector.Listen }

// boundOnly is what `ss -l` does not show.
func (h *Holder) boundOnly() bool { return h.tcp() && !h.listens() && !h.peer().IsValid() }

// open: it waits for whoever comes, as opposed to what has a peer. UDP has no
// listeners: a socket without a peer is one.
func (h *Holder) open() bool { return !h.peer().IsValid() }

// waitsForAccept: a finished handshake that no program has taken yet is a
// socket without a file, in one of these states.
func (h *Holder) waitsForAccept() bool {
	state := collector.State(h.State)
	return h.tcp() && !h.TimeWait && h.Inode == 0 && (state == collector.Established || state == collector.CloseWait)
}

// hidden: some process has it open, which this user may not see.
func (h *Holder) hidden() bool { return h.Inode != 0 && h.Process.PID == 0 }

func (h *Holder) stateName() string {
	switch {
	case h.TimeWait && collector.State(h.State) == collector.FinWait2:
		return collector.FinWait2.String()
	case h.tcp():
		return collector.State(h.State).String()
	case h.open():
		return collector.BoundInactive.String()
	}
	return "connected"
}

// rule is the socket as the rule for sharing ports sees it.
func (h *Holder) rule() portrule.Socket {
	s := portrule.Socket{
		Transport: h.transport(), Local: h.Local, State: portrule.Connected,
		UID: h.UID, Options: h.Options, Unknown: h.Unknown,
	}
	switch {
	case h.TimeWait:
		s.State = portrule.TimeWait
	case h.listens():
		s.State = portrule.Listening
	case h.open():
		s.State = portrule.Bound
	}
	return s
}

// who names the process, or says why there is none to name.
func (h *Holder) who() string {
	switch {
	case h.Process.PID != 0:
		return who(h.Process.PID, h.Process.Name)
	case h.hidden():
		return fmt.Sprintf("a process of user %d that cannot be seen from here", h.UID)
	case h.waitsForAccept():
		return "a connection that waits to be accepted"
	case h.TimeWait:
		return "a connection in TIME_WAIT"
	}
	return "a connection that its program has closed"
}

// options are SO_REUSEADDR and SO_REUSEPORT in words.
func (h *Holder) options() string {
	if h.Unknown&(portrule.ReuseAddr|portrule.ReusePort) != 0 {
		return "its options are not known"
	}
	var set []string
	if h.Options.ReuseAddr {
		set = append(set, "SO_REUSEADDR")
	}
	if h.Options.ReusePort {
		set = append(set, "SO_REUSEPORT")
	}
	if len(set) == 0 {
		return "with neither SO_REUSEADDR nor SO_REUSEPORT"
	}
	return "with " + enumerate(set)
}

// families says what a wildcard IPv6 socket does about IPv4.
func (h *Holder) families() string {
	switch {
	case h.Local.Addr() != netip.IPv6Unspecified() || h.Unknown&portrule.V6Only != 0:
		return ""
	case h.Options.V6Only:
		return "IPv6 alone"
	}
	return "IPv4 as well"
}

// details are what is known beyond the address, in brackets.
func (h *Holder) details() string {
	words := []string{h.transport().String()}
	if f := h.families(); f != "" {
		words = append(words, f)
	}
	if h.Process.PID != 0 {
		words = append(words, fmt.Sprintf("user %d", h.UID))
	}
	if h.Options.Device != 0 {
		words = append(words, fmt.Sprintf("on interface %d alone", h.Options.Device))
	}
	if h.Unit != "" {
		words = append(words, h.Unit)
	}
	return "(" + strings.Join(append(words, h.options()), ", ") + ")"
}

// accept is the accept queue of a listener: for one, inet_diag's two queues are
// what waits and the backlog, beyond which the kernel lets one more in
// (sk_acceptq_is_full).
func (h *Holder) accept(somaxconn uint64) limits.Reading {
	return limits.Reading{
		Limit: limits.AcceptQueue, Transport: "tcp", Local: h.Local, PID: h.Process.PID, Process: h.Process.Name,
		Used: uint64(h.ReceiveQueue), Max: uint64(h.SendQueue) + 1,
		Knob:   fmt.Sprintf("listen(2) backlog = %d, net.core.somaxconn = %d", h.SendQueue, somaxconn),
		Source: socketsSource,
	}
}

const socketsSource = "sock_diag"
