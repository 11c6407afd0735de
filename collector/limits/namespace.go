package limits

import (
	"errors"

	"brink/collector/sockdiag"
)

// namespace is one look at a network namespace.
type namespace struct {
	netns     uint32
	own       bool
	settings  *Settings
	ports     *Ports
	listeners listeners
	states    states

	connections []Connections // nil if they are not counted by state
}

// look reads the settings and counters of a namespace from inside, then asks
// for its sockets: for all of them where they are to be counted by state, and
// else for those that hold an ephemeral port or a listener.
func look(netns uint32, path string, byState bool) (*namespace, error) {
	settings, err := ReadSettings(path)
	if err != nil {
		return nil, err
	}
	n := &namespace{
		netns: netns, settings: settings, own: netns == OwnNetns(),
		ports: newPorts(settings.Ports), listeners: newListeners(),
	}
	if err := n.readBound(path); err != nil {
		return nil, err
	}
	if byState {
		return n, n.readAll(path)
	}
	return n, n.readSome(path)
}

// bound are the states in which a socket has a port and no peer: there are few
// such sockets, and the kernel has them in tables of their own.
const bound = 1<<listening | 1<<boundInactive

// readBound comes first: whose port is locked is known once all listeners are.
func (n *namespace) readBound(path string) error {
	var sockets []sockdiag.Socket
	err := sockdiag.Each(sockdiag.Query{NetnsPath: path, States: bound}, func(s *sockdiag.Socket) {
		n.ports.lock(s)
		n.listeners.add(s)
		n.states.add(s)
		sockets = append(sockets, *s)
	})
	for i := range sockets {
		n.ports.count(&sockets[i])
	}
	return err
}

func (n *namespace) readAll(path string) error {
	err := sockdiag.Each(sockdiag.Query{NetnsPath: path, States: ^uint32(bound)}, func(s *sockdiag.Socket) {
		n.ports.count(s)
		n.listeners.add(s)
		n.states.add(s)
	})
	n.connections = n.states.list(n.netns)
	return err
}

// readSome leaves in the kernel what a busy server has most of, the connections
// that it has accepted. Only handshakes under way are wanted of those; they are
// asked for beside the others, since either takes a walk through all sockets.
func (n *namespace) readSome(path string) error {
	requests := make(chan error, 1)
	go func() {
		if len(n.listeners.list) == 0 {
			requests <- nil
			return
		}
		requests <- sockdiag.Each(sockdiag.Query{NetnsPath: path, States: 1 << synReceived}, n.listeners.add)
	}()
	r := n.settings.Ports
	err := sockdiag.Each(sockdiag.Query{NetnsPath: path, States: ^uint32(bound), LowPort: r.Low, HighPort: r.High}, n.ports.count)
	return errors.Join(err, <-requests)
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
