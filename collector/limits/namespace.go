package limits

import (
	"brink/collector/sockdiag"
)

// namespace is one look at a network namespace.
type namespace struct {
	netns     uint32
	own       bool
	settings  *Settings
	ports     *Ports
	listeners listeners
}

// look reads the settings and counters of a namespace from inside, then asks
// for its sockets, once.
func look(netns uint32, path string) (*namespace, error) {
	settings, err := ReadSettings(path)
	if err != nil {
		return nil, err
	}
	sockets, err := sockdiag.Dump(sockdiag.Query{NetnsPath: path})
	if err != nil {
		return nil, err
	}
	return &namespace{
		netns: netns, settings: settings, own: netns == OwnNetns(),
		ports: CountPorts(settings.Ports, sockets), listeners: countListeners(sockets),
	}, nil
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
