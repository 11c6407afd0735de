package collector

import (
	"net/netip"
	"slices"

	"brink/collector/portrule"
	"brink/collector/sockdiag"

	"golang.org/x/sys/unix"
)

// maxHolders is how many sockets are asked for their options, and named, in one
// conflict: a port may have a hundred thousand connections. Listeners go first.
const maxHolders = 256

// findHolders asks sock_diag, in the refused task's namespace, which sockets are
// in its way, and each of them for the options that decide it. Sockets whose
// options nobody tells are named if they may be in the way.
func findHolders(c *BindConflict, owners *sockdiag.Finder) []Holder {
	path := sockdiag.NetnsPath(c.Netns, c.Owner.PID)
	if path == "" || c.Local.Port() == 0 {
		return nil // port 0 is refused by the range, not by a socket
	}
	sockets, err := sockdiag.Dump(sockdiag.Query{
		NetnsPath: path, Protocol: protocols[c.Transport], LocalPort: c.Local.Port(),
	})
	if err != nil {
		return nil
	}
	suspects := suspectsOf(c, sockets)
	c.Unnamed = max(0, len(suspects)-maxHolders)
	suspects = suspects[:len(suspects)-c.Unnamed]
	holders := inTheWay(c, holdersOf(suspects, owners))
	if len(holders) == 0 && c.Transport == TCP {
		holders = inTheWay(c, boundOnly(path, c.Local.Port()))
	}
	return holders
}

var protocols = map[Transport]uint8{TCP: unix.IPPROTO_TCP, UDP: unix.IPPROTO_UDP}

// suspectsOf are the sockets that may be in the way, given what sock_diag tells
// of them; listeners first, then those that are not connected.
func suspectsOf(c *BindConflict, sockets []sockdiag.Socket) []sockdiag.Socket {
	suspects := slices.DeleteFunc(sockets, func(s sockdiag.Socket) bool {
		if State(s.State) == SynRecv && s.Inode == 0 {
			return true // a request socket: it is in no table of ports
		}
		h := holderOf(s)
		return !portrule.Judge(c.asker(), h.socket()).InTheWay()
	})
	slices.SortStableFunc(suspects, func(a, b sockdiag.Socket) int { return precedence(a) - precedence(b) })
	return suspects
}

func precedence(s sockdiag.Socket) int {
	switch {
	case State(s.State) == Listen:
		return 0
	case s.Peer.Port() == 0:
		return 1
	}
	return 2
}

// inTheWay are the holders that refuse or may, with the rule of each. A socket
// that was refused to listen is bound already: it is not its own holder.
func inTheWay(c *BindConflict, candidates []Holder) (holders []Holder) {
	for _, h := range candidates {
		own := c.Listening && h.PID == c.Owner.PID && h.State == BoundInactive && h.Local == c.Local
		verdict := portrule.Judge(c.asker(), h.socket())
		if !own && verdict.InTheWay() {
			h.Rule = verdict.Rule
			holders = append(holders, h)
		}
	}
	return holders
}

// boundOnly are the holders that sock_diag does not list before 6.8.
func boundOnly(path string, port uint16) (holders []Holder) {
	bound, _ := sockdiag.Bound(path, port) // what it found before it failed is true
	for _, b := range bound {
		h := holderOf(b.Socket)
		h.PID, h.Name = b.PID, b.Name
		h.Options, h.Unknown = SocketOptions(b.Options), 0
		holders = append(holders, h)
	}
	return holders
}

func holdersOf(sockets []sockdiag.Socket, finder *sockdiag.Finder) []Holder {
	owners := finder.Owners(inodesOf(sockets))
	holders := make([]Holder, len(sockets))
	for i, s := range sockets {
		holders[i] = holderOf(s)
		if process, ok := owners[s.Inode]; ok {
			holders[i].ask(process, s.Inode)
		}
	}
	return holders
}

// holderOf is as much as sock_diag tells: neither SO_REUSEADDR nor SO_REUSEPORT.
func holderOf(s sockdiag.Socket) Holder {
	h := Holder{
		UID: s.UID, State: State(s.State), TimeWait: s.TimeWait, Local: s.Local, Peer: peerOf(s),
		Unknown: portrule.ReuseAddr | portrule.ReusePort,
		Options: SocketOptions{V6Only: s.V6Only, Device: s.Interface},
	}
	if s.Protocol == unix.IPPROTO_UDP {
		h.Transport = UDP
	}
	if s.Local.Addr().Is6() && !s.V6OnlyKnown {
		h.Unknown |= portrule.V6Only
	}
	return h
}

// ask fills in what only the process's socket knows, if we may trace it.
func (h *Holder) ask(process sockdiag.Process, inode uint32) {
	h.PID, h.Name = process.PID, process.Name
	if options, err := sockdiag.OptionsOf(process, inode); err == nil {
		h.Options, h.Unknown = SocketOptions(options), 0
	}
}

func inodesOf(sockets []sockdiag.Socket) map[uint32]bool {
	inodes := map[uint32]bool{}
	for _, s := range sockets {
		if s.Inode != 0 {
			inodes[s.Inode] = true
		}
	}
	return inodes
}

func peerOf(s sockdiag.Socket) netip.AddrPort {
	if s.Peer.Port() == 0 {
		return netip.AddrPort{}
	}
	return s.Peer
}
