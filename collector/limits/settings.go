package limits

import (
	"fmt"
	"os"
)

// Settings are the sysctls of one network namespace that bound its TCP, and its
// counters that only a look from inside shows.
type Settings struct {
	Ports         *PortRange
	Somaxconn     uint64 // net.core.somaxconn caps listen()'s backlog
	MaxSYNBacklog uint64 // net.ipv4.tcp_max_syn_backlog counts without SYN cookies only
	SYNCookies    uint64 // net.ipv4.tcp_syncookies: 0 never, 1 when the queue is full, 2 always
	MaxTimeWait   uint64 // net.ipv4.tcp_max_tw_buckets
	TimeWaitReuse uint64 // net.ipv4.tcp_tw_reuse: 0 no, 1 yes, 2 on loopback

	Sockstat Sockstat
	// Conntrack is the namespace's number of tracked connections, and MaxConntrack
	// the host's maximum for each namespace; 0 where nothing is tracked or the
	// number is not bounded.
	Conntrack, MaxConntrack uint64
}

// ReadSettings reads a namespace by a path to it, such as /proc/PID/ns/net;
// empty is this process's own. Another one takes CAP_SYS_ADMIN.
func ReadSettings(netnsPath string) (*Settings, error) {
	if netnsPath == "" {
		netnsPath = ownNetns
	}
	var s *Settings
	err := Inside(netnsPath, func() (err error) {
		s, err = readSettings()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the settings of a network namespace: %w", err)
	}
	return s, nil
}

// readSettings reads those of the calling thread's namespace.
func readSettings() (*Settings, error) {
	ends, err := sysctl("net.ipv4.ip_local_port_range")
	if err != nil {
		return nil, err
	}
	reserved, err := sysctl("net.ipv4.ip_local_reserved_ports")
	if err != nil {
		return nil, err
	}
	var s Settings
	if s.Ports, err = ParsePortRange(ends, reserved); err != nil {
		return nil, err
	}
	for name, into := range map[string]*uint64{
		"net.core.somaxconn":           &s.Somaxconn,
		"net.ipv4.tcp_max_syn_backlog": &s.MaxSYNBacklog,
		"net.ipv4.tcp_max_tw_buckets":  &s.MaxTimeWait,
		"net.ipv4.tcp_tw_reuse":        &s.TimeWaitReuse,
	} {
		if *into, err = sysctlNumber(name); err != nil {
			return nil, err
		}
	}
	// absent without CONFIG_SYN_COOKIES, and without conntrack
	s.SYNCookies, _ = sysctlNumber("net.ipv4.tcp_syncookies")
	s.Conntrack, _ = sysctlNumber("net.netfilter.nf_conntrack_count")
	s.MaxConntrack, _ = sysctlNumber("net.netfilter.nf_conntrack_max")
	content, err := os.ReadFile("/proc/thread-self/net/sockstat")
	if err != nil {
		return nil, err
	}
	s.Sockstat, err = parseSockstat(string(content))
	return &s, err
}
