package diagnosis

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/sockdiag"

	"golang.org/x/sys/unix"
)

// Port is what is known about a local port in one network namespace.
type Port struct {
	Number   uint16
	Netns    uint32
	Holders  []Holder // listeners first, then what else has no peer, connections, timewait sockets
	Settings limits.Settings
	// Reserved is net.ipv4.ip_local_reserved_ports as it is written, and
	// Unprivileged the first port that anybody may bind
	// (net.ipv4.ip_unprivileged_port_start, 4.11).
	Reserved     string
	Unprivileged uint64
	// Descriptors are those of the listening processes.
	Descriptors []limits.Reading
	Elsewhere   []Other
	Watched     Watched
	Unread      []string // what could not be looked at, in sentences
}

// Other is another network namespace where the port is held.
type Other struct {
	Netns   uint32
	Holders []Holder
}

// ReadPort looks at a port.
func ReadPort(n Namespace, number uint16) (p *Port, err error) {
	p = &Port{Number: number, Netns: n.Netns}
	settings, err := limits.ReadSettings(n.Path)
	if err != nil {
		return nil, err
	}
	p.Settings = *settings
	if err := n.Inside(p.readSettings); err != nil {
		return nil, err
	}
	if p.Holders, p.Unread, err = readHolders(n, number); err != nil {
		return nil, fmt.Errorf("look at port %d: %w", number, err)
	}
	p.readDescriptors()
	p.readElsewhere()
	return p, nil
}

func (p *Port) readSettings() error {
	p.Reserved = setting("net.ipv4.ip_local_reserved_ports")
	p.Unprivileged = settingNumber("net.ipv4.ip_unprivileged_port_start", 1024)
	return nil
}

// readDescriptors: a listener without a descriptor left cannot accept.
func (p *Port) readDescriptors() {
	var seen []uint32
	for i := range p.Holders {
		h := &p.Holders[i]
		if pid := h.Process.PID; h.listens() && pid != 0 && !slices.Contains(seen, pid) {
			seen = append(seen, pid)
			if r, err := limits.Descriptors(pid); err == nil {
				p.Descriptors = append(p.Descriptors, r)
			}
		}
	}
}

// readElsewhere looks for whoever waits at the same port in another namespace.
func (p *Port) readElsewhere() {
	if os.Geteuid() != 0 {
		p.Unread = append(p.Unread, "whether somebody holds the port in another network namespace only root can tell (try sudo)")
		return
	}
	paths := sockdiag.Namespaces()
	for _, netns := range slices.Sorted(maps.Keys(paths)) {
		if netns == p.Netns {
			continue
		}
		holders, err := openAt(paths[netns], p.Number)
		if err != nil && !isAbsent(err) {
			p.Unread = append(p.Unread, fmt.Sprintf("network namespace %d could not be looked at: %v", netns, err))
		}
		if len(holders) > 0 {
			p.Elsewhere = append(p.Elsewhere, Other{Netns: netns, Holders: holders})
		}
	}
}

// openAt are the sockets without a peer, with their processes.
func openAt(path string, port uint16) (holders []Holder, err error) {
	const states = 1<<collector.Listen | 1<<collector.BoundInactive | 1<<collector.Closed // the last is UDP's
	for _, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		sockets, err := sockdiag.Dump(sockdiag.Query{NetnsPath: path, LocalPort: port, Protocol: protocol, States: states})
		if err != nil {
			return nil, err
		}
		for _, s := range sockets {
			holders = append(holders, holderOf(s))
		}
	}
	identify(holders)
	return holders, nil
}
