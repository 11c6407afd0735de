package limits

import (
	"errors"
	"time"

	"brink/collector/sockdiag"
)

// namespace is one look at a network namespace.
type namespace struct {
	netns     uint32
	path      string
	own       bool
	settings  *Settings
	ports     *Ports
	listeners listeners
	states    states
	boundOnly boundOnly

	connections []Connections // nil if they are not counted by state
	err         error         // of count: what was counted is not all
}

// boundOnly are a namespace's sockets that are bound and nothing else. To find them
// takes the kernel a walk through all that have a port (tcp_diag_dump, 6.8), as long
// as all other questions together, so that a list serves for a moment.
type boundOnly struct {
	list []sockdiag.Socket
	at   time.Time
}

const boundOnlyEvery = 2 * time.Second

// look reads the settings and counters of a namespace from inside, then asks
// for its listeners, which the kernel has in a small table of their own.
func look(netns uint32, path string, before boundOnly) (*namespace, error) {
	settings, err := ReadSettings(path)
	if err != nil {
		return nil, err
	}
	n := &namespace{
		netns: netns, path: path, settings: settings, own: netns == OwnNetns(),
		ports: newPorts(settings.Ports), listeners: newListeners(), boundOnly: before,
	}
	return n, n.each(sockdiag.Query{States: 1 << listening}, func(s *sockdiag.Socket) {
		n.ports.lock(s)
		n.ports.count(s)
		n.listeners.add(s)
		n.states.add(s)
	})
}

func (n *namespace) each(q sockdiag.Query, visit func(*sockdiag.Socket)) error {
	q.NetnsPath = n.path
	return sockdiag.Each(q, visit)
}

// bound are the states in which a socket has a port and no peer.
const bound = 1<<listening | 1<<boundInactive

// count asks for the other sockets: for all of them where they are to be counted
// by state, and else for those that hold an ephemeral port or a place in a SYN
// queue.
func (n *namespace) count(byState bool) error {
	if !byState {
		return n.countSome()
	}
	err := n.findBoundOnly()
	n.ports.lockAll(n.boundOnly.list)
	for i := range n.boundOnly.list {
		n.states.add(&n.boundOnly.list[i])
	}
	err = errors.Join(err, n.each(sockdiag.Query{States: ^uint32(bound)}, func(s *sockdiag.Socket) {
		n.ports.count(s)
		n.listeners.add(s)
		n.states.add(s)
	}))
	n.connections = n.states.list(n.netns)
	return err
}

// countSome leaves in the kernel what a busy server has most of, the connections
// that it has accepted. Each of the three questions takes a walk through all
// sockets, so two are asked beside the third, which has most to tell.
func (n *namespace) countSome() error {
	beside := make(chan error, 1)
	go func() { beside <- errors.Join(n.findBoundOnly(), n.countRequests()) }()
	err := errors.Join(n.countClients(), <-beside)
	if n.ports.lockAll(n.boundOnly.list) {
		err = errors.Join(err, n.countClients())
	}
	return err
}

func (n *namespace) findBoundOnly() error {
	if time.Since(n.boundOnly.at) < boundOnlyEvery {
		return nil
	}
	found := boundOnly{at: time.Now()}
	err := n.each(sockdiag.Query{States: 1 << boundInactive}, func(s *sockdiag.Socket) {
		found.list = append(found.list, *s)
	})
	if err != nil {
		found.at = time.Time{} // a part of them serves once
	}
	n.boundOnly = found
	return err
}

func (n *namespace) countRequests() error {
	if len(n.listeners.list) == 0 {
		return nil
	}
	return n.each(sockdiag.Query{States: 1 << synReceived}, n.listeners.add)
}

// countClients also meets what was accepted, if its listener's port is in the
// range.
func (n *namespace) countClients() error {
	r := n.settings.Ports
	return n.each(sockdiag.Query{States: ^uint32(bound), LowPort: r.Low, HighPort: r.High}, n.ports.count)
}

// ReadPorts counts the ports of the namespace at a path, such as
// /proc/PID/ns/net; empty is this process's own.
func ReadPorts(netnsPath string) (*Ports, error) {
	if netnsPath == "" {
		netnsPath = ownNetns
	}
	settings, err := ReadSettings(netnsPath)
	if err != nil {
		return nil, err
	}
	sockets, err := sockdiag.Dump(sockdiag.Query{NetnsPath: netnsPath})
	if err != nil {
		return nil, err
	}
	return CountPorts(settings.Ports, sockets), nil
}

// readings are all of the namespace's; of ephemeral ports the n worst, with the
// number of those beyond.
func (n *namespace) readings(most int, owners map[uint32]sockdiag.Process) (list []Reading, beyond int) {
	list, beyond = n.ports.readings(most, n.own)
	list = append(list, n.listeners.accept(n.settings, owners)...)
	list = append(list, n.listeners.syn(n.settings, owners)...)
	list = append(list, Reading{
		Limit: TimeWaitBuckets, Transport: "tcp", Used: n.settings.Sockstat.TimeWait, Max: n.settings.MaxTimeWait,
		Knob: knob("net.ipv4.tcp_max_tw_buckets", n.settings.MaxTimeWait), Source: sockstatSource,
	})
	if n.settings.MaxConntrack > 0 {
		list = append(list, Reading{
			Limit: ConntrackTable, Used: n.settings.Conntrack, Max: n.settings.MaxConntrack,
			Knob:   knob("net.netfilter.nf_conntrack_max", n.settings.MaxConntrack),
			Source: "/proc/sys/net/netfilter/nf_conntrack_count",
		})
	}
	for i := range list {
		list[i].Netns = n.netns
	}
	return list, beyond
}
