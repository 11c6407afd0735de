package lab

import (
	"bufio"
	"context"
	"io"
	"strconv"
	"strings"
)

var counters = define("read the counters", (*inside).counters)

// Counters are the namespace's own kernel counters since it was made:
// "TcpExt.ListenOverflows", "Tcp.ActiveOpens" as in /proc/net/netstat and snmp,
// "conntrack.drop" as in /proc/net/stat/nf_conntrack, and "TCP.tw", "TCP6.inuse"
// as in /proc/net/sockstat and sockstat6, which are gauges, as is
// "conntrack.entries". TCP.orphan, TCP.alloc and TCP.mem are the whole host's. A
// counter that this kernel lacks is absent.
func (l *Lab) Counters(ctx context.Context) (map[string]uint64, error) {
	return counters.call(ctx, l.holder.control, none{})
}

// addNetstat reads pairs of lines, the names above the values:
//
//	TcpExt: SyncookiesSent SyncookiesRecv …
//	TcpExt: 0 0 …
func addNetstat(counters map[string]uint64, r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		names := strings.Fields(lines.Text())
		if !lines.Scan() {
			break
		}
		values := strings.Fields(lines.Text())
		for i := 1; i < min(len(names), len(values)); i++ {
			add(counters, names[0], names[i], values[i])
		}
	}
	return lines.Err()
}

// addSockstat reads lines of names, each before its value:
//
//	TCP: inuse 5 orphan 0 tw 0 alloc 8 mem 0
func addSockstat(counters map[string]uint64, r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		for i := 1; i+1 < len(words); i += 2 {
			add(counters, words[0], words[i], words[i+1])
		}
	}
	return lines.Err()
}

// add leaves out what is no count: Tcp.MaxConn is -1.
func add(counters map[string]uint64, group, name, value string) {
	if n, err := strconv.ParseUint(value, 10, 64); err == nil {
		counters[strings.TrimSuffix(group, ":")+"."+name] = n
	}
}
