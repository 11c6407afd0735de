package diagnosis

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/sockdiag"

	"golang.org/x/sys/unix"
)

// Process is what is known about a process and its sockets.
type Process struct {
	Status
	Netns uint32
	Unit  string
	// Descriptors has Max 0 where it could not be read.
	Descriptors limits.Reading
	Kinds       []Share // what the descriptors are, the most first
	Looked      int     // how many descriptors Kinds is of
	Tasks       []limits.Reading
	// TCP and UDP are the sockets that it has open in its namespace.
	TCP, UDP []sockdiag.Socket
	// Seen: TCP and UDP are all that there are.
	Seen bool
	// Destinations are how many ports are taken from a local address of the
	// process to where it is connected.
	Destinations []limits.Reading
	Somaxconn    uint64
	Watched      Watched
	Unread       []string
}

// ReadProcess looks at a process. Its error says if there is none.
func ReadProcess(pid uint32) (*Process, error) {
	status, err := ReadStatus(pid)
	if err != nil {
		return nil, err
	}
	p := &Process{Status: status, Unit: unitOf(pid)}
	n, err := NamespaceOf(pid)
	if err != nil {
		p.Unread = append(p.Unread, fmt.Sprintf("The network namespace of the process, and with it its sockets, could not be read: %s.", sayWhy(err)))
	}
	p.Netns = n.Netns
	if p.Descriptors, err = limits.Descriptors(pid); err != nil {
		p.Unread = append(p.Unread, fmt.Sprintf("How many descriptors the process has open could not be read: %s.", sayWhy(err)))
	}
	inodes, seen := p.readKinds()
	p.Seen = seen && n.Path != ""
	p.readTasks()
	if p.Seen && len(inodes) > 0 {
		if err := p.readSockets(n, inodes); err != nil {
			p.Seen = false
			p.Unread = append(p.Unread, fmt.Sprintf("The sockets of the process could not be read: %s.", sayWhy(err)))
		}
	}
	return p, nil
}

// NamespaceOf is the network namespace that a process lives in.
func NamespaceOf(pid uint32) (Namespace, error) {
	path := fmt.Sprintf("/proc/%d/ns/net", pid)
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return Namespace{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return Namespace{Netns: uint32(stat.Ino), Path: path}, nil
}

func sayWhy(err error) string {
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return "only root may (try sudo)"
	}
	return err.Error()
}

func (p *Process) readSockets(n Namespace, inodes map[uint32]bool) error {
	all, err := sockdiag.Dump(sockdiag.Query{NetnsPath: n.Path})
	if err != nil {
		return err
	}
	p.TCP = own(all, inodes)
	settings, err := limits.ReadSettings(n.Path)
	if err != nil {
		return err
	}
	p.Somaxconn = settings.Somaxconn
	p.readDestinations(limits.CountPorts(settings.Ports, all), settings.Ports)
	udp, err := sockdiag.Dump(sockdiag.Query{NetnsPath: n.Path, Protocol: unix.IPPROTO_UDP})
	if err != nil {
		return err
	}
	p.UDP = own(udp, inodes)
	return nil
}

func own(sockets []sockdiag.Socket, inodes map[uint32]bool) (list []sockdiag.Socket) {
	for _, s := range sockets {
		if s.Inode != 0 && inodes[s.Inode] {
			list = append(list, s)
		}
	}
	return list
}

// readDestinations takes what the process has connected to: a local port of its
// own listeners makes a connection one that it has accepted.
func (p *Process) readDestinations(ports *limits.Ports, r *limits.PortRange) {
	for _, s := range p.TCP {
		if s.Peer.Port() == 0 || !r.Contains(s.Local.Port()) {
			continue
		}
		use := ports.Towards(s.Local.Addr(), s.Peer)
		if use.Used == 0 || slices.ContainsFunc(p.Destinations, func(d limits.Reading) bool {
			return d.Local.Addr() == s.Local.Addr() && d.Peer == s.Peer
		}) {
			continue
		}
		p.Destinations = append(p.Destinations, portReading(use, s.Local.Addr(), s.Peer, r))
		if len(p.Destinations) >= mostAlike {
			return
		}
	}
	slices.SortStableFunc(p.Destinations, func(a, b limits.Reading) int { return int(b.Used) - int(a.Used) })
}

// listens reports whether an address is one of the process's listeners.
func (p *Process) listens(r *Refusal) bool {
	return slices.ContainsFunc(p.TCP, func(s sockdiag.Socket) bool {
		return collector.State(s.State) == collector.Listen && s.Local == r.Local
	})
}

// refusals are those of the process: its own, and what its listeners refused to
// others, which happens in no process's context.
func (p *Process) refusals() (list []Refusal) {
	for _, r := range p.Watched.Refusals {
		if r.PID == p.PID || p.listens(&r) || r.unowned() && r.byListener() && len(p.listeners()) > 0 {
			list = append(list, r)
		}
	}
	return list
}
