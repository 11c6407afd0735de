package limits

import (
	"fmt"
	"net/netip"

	"brink/collector/sockdiag"
)

// listeners are the listening sockets of one network namespace, and the
// handshakes that are under way to them.
type listeners struct {
	list     []sockdiag.Socket
	requests map[netip.AddrPort]uint64 // by local address
}

func newListeners() listeners { return listeners{requests: map[netip.AddrPort]uint64{}} }

func (l *listeners) add(s *sockdiag.Socket) {
	switch s.State {
	case listening:
		l.list = append(l.list, *s)
	case synReceived:
		l.requests[s.Local]++
	}
}

// inodes are the listeners' sockets, to find their owners by.
func (l *listeners) inodes(into map[uint32]bool) {
	for _, s := range l.list {
		into[s.Inode] = true
	}
}

// accept is the accept queue of each listener: for one, inet_diag's two queues
// are sk_ack_backlog and sk_max_ack_backlog, which is listen()'s backlog, cut to
// somaxconn. sk_acceptq_is_full compares with ">": one more than the backlog fit.
func (l *listeners) accept(s *Settings, owners map[uint32]sockdiag.Process) (list []Reading) {
	for _, at := range l.list {
		owner := owners[at.Inode]
		list = append(list, Reading{
			Limit: AcceptQueue, Transport: "tcp", Local: at.Local, PID: owner.PID, Process: owner.Name,
			Used: uint64(at.ReceiveQueue), Max: uint64(at.SendQueue) + 1,
			Knob:   fmt.Sprintf("listen(2) backlog = %d, net.core.somaxconn = %d", at.SendQueue, s.Somaxconn),
			Source: socketsSource, id: at.Cookie,
		})
	}
	return list
}

// syn is the SYN queue of each address that is listened at. Which of several
// listeners that share it (SO_REUSEPORT) a request belongs to is not told, so
// that their queues count together.
func (l *listeners) syn(s *Settings, owners map[uint32]sockdiag.Process) (list []Reading) {
	at := map[netip.AddrPort]int{}
	var sharing []int
	for _, socket := range l.list {
		i, known := at[socket.Local]
		if !known {
			i = len(list)
			at[socket.Local] = i
			owner := owners[socket.Inode]
			list = append(list, Reading{
				Limit: SYNQueue, Transport: "tcp", Local: socket.Local, PID: owner.PID, Process: owner.Name,
				Knob: synKnob(socket.SendQueue, s), Source: socketsSource,
			})
			sharing = append(sharing, 0)
		}
		list[i].Max += maxRequests(socket.SendQueue, s)
		sharing[i]++
	}
	for local, n := range l.requests {
		if i, ok := listenerAt(at, local); ok {
			list[i].Used += n
		}
	}
	for i, n := range sharing {
		if n > 1 {
			list[i].Note = fmt.Sprintf("%d listeners together", n)
		}
	}
	return list
}

// listenerAt finds who answers at a local address, as inet_lookup_listener
// prefers it: the address itself, then the wildcard of its family, then the
// IPv6 one that takes IPv4 as well.
func listenerAt(at map[netip.AddrPort]int, local netip.AddrPort) (i int, ok bool) {
	for _, addr := range []netip.Addr{local.Addr(), netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if addr == netip.IPv4Unspecified() && !local.Addr().Is4() {
			continue
		}
		if i, ok = at[netip.AddrPortFrom(addr, local.Port())]; ok {
			return i, true
		}
	}
	return 0, false
}

// maxRequests is how many request sockets a listener takes before it answers
// with SYN cookies or, without them, drops: one more than its backlog
// (inet_csk_reqsk_queue_is_full, seen on 6.18; before 3479c7549fb1, in 6.14 and
// the stable releases of January 2025, just its backlog). Without SYN cookies
// the last quarter of tcp_max_syn_backlog is for proven peers as well
// (tcp_conn_request), which a stranger meets first if it is the smaller.
func maxRequests(backlog uint32, s *Settings) uint64 {
	most := uint64(backlog) + 1
	if s.SYNCookies == 0 {
		most = min(most, s.MaxSYNBacklog-s.MaxSYNBacklog/4+1)
	}
	return most
}

func synKnob(backlog uint32, s *Settings) string {
	knob := fmt.Sprintf("listen(2) backlog = %d, net.ipv4.tcp_syncookies = %d", backlog, s.SYNCookies)
	if s.SYNCookies == 0 {
		knob += fmt.Sprintf(", net.ipv4.tcp_max_syn_backlog = %d", s.MaxSYNBacklog)
	}
	return knob
}
