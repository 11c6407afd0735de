package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"brink/collector/limits"
	"brink/experiments/theory"
)

// others are the limits that count something else than connections that stand.
func (f *facts) others() []bound {
	list := []bound{
		f.churnBound(), f.acceptQueueBound(), f.synQueueBound(),
		f.timeWaitBound(),
	}
	if r := f.hostWide(limits.Orphans); r != nil {
		list = append(list, f.orphanBound(r[0]))
	}
	if r := f.hostWide(limits.TCPMemory); r != nil {
		list = append(list, f.tcpMemoryBound(r[0]))
	}
	if r := f.hostWide(limits.Threads); r != nil {
		list = append(list, f.threadBound(r))
	}
	if f.MaxConntrack > 0 && f.Conntrack == 0 {
		list = append(list, f.conntrackBound("connections that are tracked", "nothing is tracked here now; a rule with ct or NAT begins it"))
	}
	return list
}

func (f *facts) churnBound() bound {
	ports, _ := f.ports.Connections()
	kept := theory.TimeWait
	note := "when this end closes first; connections that the other end closes first leave no TIME_WAIT here"
	if f.reusesTimeWait() {
		kept = f.reuseDelay
		note = fmt.Sprintf("tcp_tw_reuse = %d lets connect() take a port back after %v of TIME_WAIT, if both ends use timestamps", f.TimeWaitReuse, kept)
	}
	if f.MaxTimeWait < uint64(ports) {
		note = join(note, fmt.Sprintf("tcp_max_tw_buckets = %d is less than the ports, so they never all wait: TIME_WAIT is cut short instead, and late segments may meet a successor", f.MaxTimeWait))
	}
	b := catalogued(limits.EphemeralPorts, bound{
		scope: perDestination, unit: perSecond,
		value:   uint64(theory.Churn(ports, kept)),
		formula: "ports * 1000 / time_wait_ms",
		inputs:  []quantity{{"ports", uint64(ports)}, {"time_wait_ms", uint64(kept / time.Millisecond)}},
		knob:    f.Ports.Knob() + fmt.Sprintf(", net.ipv4.tcp_tw_reuse = %d", f.TimeWaitReuse),
		note:    note,
	})
	b.lifts = "connections that are kept and used again; the other end closing first; tcp_tw_reuse = 1"
	return b
}

// reusesTimeWait is the gate of tcp_twsk_unique, as far as settings decide.
func (f *facts) reusesTimeWait() bool {
	return f.timestamps && (f.TimeWaitReuse == 1 || f.TimeWaitReuse == 2 && f.reusesOnLoopback())
}

func (f *facts) acceptQueueBound() bound {
	return catalogued(limits.AcceptQueue, bound{
		scope: perListener, unit: "connections that wait for accept()",
		value: f.Somaxconn + 1, formula: "somaxconn + 1", inputs: []quantity{{"somaxconn", f.Somaxconn}},
		knob: fmt.Sprintf("net.core.somaxconn = %d", f.Somaxconn),
		note: "for a listener with the largest backlog; brink limits has each listener's own",
	})
}

// synQueueBound is what limits' reader has as the maximum of a listener with the
// largest backlog: inet_csk_reqsk_queue_is_full and tcp_conn_request.
func (f *facts) synQueueBound() bound {
	b := bound{
		scope: perListener, unit: "handshakes that wait for the last ACK",
		value: f.Somaxconn + 1, formula: "somaxconn + 1", inputs: []quantity{{"somaxconn", f.Somaxconn}},
		knob: fmt.Sprintf("net.core.somaxconn = %d, net.ipv4.tcp_syncookies = %d", f.Somaxconn, f.SYNCookies),
		note: "beyond it SYN cookies answer, and nothing is refused",
	}
	if f.SYNCookies == 0 {
		b.value = min(b.value, f.MaxSYNBacklog-f.MaxSYNBacklog/4+1)
		b.formula = "min(somaxconn, 3/4 * tcp_max_syn_backlog) + 1"
		b.inputs = append(b.inputs, quantity{"tcp_max_syn_backlog", f.MaxSYNBacklog})
		b.knob += fmt.Sprintf(", net.ipv4.tcp_max_syn_backlog = %d", f.MaxSYNBacklog)
		b.note = "SYN cookies are off: beyond it SYNs are dropped"
	}
	return catalogued(limits.SYNQueue, b)
}

func (f *facts) timeWaitBound() bound {
	return catalogued(limits.TimeWaitBuckets, bound{
		scope: perHost, unit: "connections in TIME_WAIT",
		value: f.MaxTimeWait, used: f.Sockstat.TimeWait,
		formula: "tcp_max_tw_buckets", inputs: []quantity{{"tcp_max_tw_buckets", f.MaxTimeWait}},
		knob: fmt.Sprintf("net.ipv4.tcp_max_tw_buckets = %d", f.MaxTimeWait),
		note: "refuses no connection: those beyond skip TIME_WAIT",
	})
}

func (f *facts) orphanBound(r limits.Reading) bound {
	return catalogued(limits.Orphans, bound{
		scope: perHost, unit: "closed connections with data to send",
		value: r.Max, used: r.Used,
		formula: "tcp_max_orphans", inputs: []quantity{{"tcp_max_orphans", r.Max}}, knob: r.Knob,
	})
}

// tcpMemoryBound is the other extreme than memoryBound: every buffer full. An
// idle connection takes none of these pages.
func (f *facts) tcpMemoryBound(r limits.Reading) bound {
	page := uint64(os.Getpagesize())
	each := max(1, f.ends()*(f.receiveMax+f.sendMax))
	return catalogued(limits.TCPMemory, bound{
		scope: perHost, unit: "connections with full buffers",
		value: r.Max * page / each, used: (r.Used*page + each - 1) / each,
		formula: "tcp_mem * page / (ends * (tcp_rmem + tcp_wmem))",
		inputs: []quantity{
			{"tcp_mem", r.Max}, {"page", page}, {"ends", f.ends()},
			{"tcp_rmem", f.receiveMax}, {"tcp_wmem", f.sendMax}, {"pages_used", r.Used},
		},
		knob: r.Knob,
		note: "the worst case: an idle connection takes no page of it",
	})
}

// threadBound is the tightest of the limits on threads that hold for this user;
// those of root's are none.
func (f *facts) threadBound(list []limits.Reading) bound {
	tightest := slices.MinFunc(list, func(a, b limits.Reading) int {
		return cmp.Compare(a.Max-min(a.Used, a.Max), b.Max-min(b.Used, b.Max))
	})
	b := bound{
		scope: perHost, unit: "connections with a thread each",
		value: tightest.Max, used: tightest.Used, knob: tightest.Knob,
		note: "pids.max of the program's cgroup may allow fewer",
	}
	var names []string
	for _, r := range list {
		name, _, _ := strings.Cut(r.Knob, " ")
		names = append(names, name)
		b.inputs = append(b.inputs, quantity{name, r.Max})
	}
	b.formula = "min(" + strings.Join(names, ", ") + ")"
	return catalogued(limits.Threads, b)
}
