package main

import (
	"fmt"

	"brink/collector/limits"
)

// standing are the limits on how many connections can stand at the same time.
func (f *facts) standing() []bound {
	list := []bound{f.portBound(), f.descriptorBound(), f.memoryBound()}
	if r := f.hostWide(limits.FileTable); r != nil {
		list = append(list, f.fileTableBound(r[0]))
	}
	if f.MaxConntrack > 0 && f.Conntrack > 0 {
		list = append(list, f.conntrackBound(standing, ""))
	}
	return list
}

func (f *facts) portBound() bound {
	least, most := f.ports.Connections()
	b := bound{
		scope: perDestination, unit: standing,
		value: uint64(least), atMost: uint64(most), used: uint64(f.towards.Used - f.reusable()),
		formula: "high - low + 1 - reserved - bound",
		inputs: []quantity{
			{"high", uint64(f.ports.High)}, {"low", uint64(f.ports.Low)},
			{"reserved", uint64(f.ports.Reserved)}, {"bound", uint64(f.ports.Bound)},
		},
		knob: f.Ports.Knob(),
	}
	if most > least {
		b.formula += " - odd"
		b.inputs = append(b.inputs, quantity{"odd", 1})
		b.note = "perhaps one more: connect() tries an even number of ports (__inet_hash_connect: remaining &= ~1), so of an odd range it leaves out the one end or the other"
	}
	if n := f.reusable(); n > 0 {
		b.note = join(b.note, fmt.Sprintf("%d more ports are in TIME_WAIT, from which connect() takes them after %v (tcp_tw_reuse = %d)", n, f.reuseDelay, f.TimeWaitReuse))
	} else if n := f.towards.TimeWait; n > 0 {
		b.note = join(b.note, fmt.Sprintf("%d of those in use only wait for their TIME_WAIT to end", n))
	}
	return catalogued(limits.EphemeralPorts, b)
}

// reusable is how many ports connect() takes although a timewait socket has
// them, as soon as that is old enough: they count as free.
func (f *facts) reusable() int {
	if f.reusesTimeWait() {
		return f.towards.TimeWait
	}
	return 0
}

// standardStreams are open in every program before its first connection.
const standardStreams = 3

// descriptorBound is of a program that is started now, as brink was: what brink
// has open is no matter, and its own soft limit is not the one it was given,
// since Go raises it.
func (f *facts) descriptorBound() bound {
	soft := min(f.caller.Max, f.nrOpen) // which also bounds "unlimited"
	return catalogued(limits.FileDescriptors, bound{
		scope: perProcess, unit: standing,
		value:   soft - min(soft, standardStreams),
		formula: "soft - streams",
		inputs:  []quantity{{"soft", soft}, {"streams", standardStreams}},
		knob:    fmt.Sprintf("%s, fs.nr_open = %d", f.caller.Knob, f.nrOpen),
		note:    fmt.Sprintf("of a program started now from %s[%d], with its standard streams open; a second one has as many again", f.caller.Process, f.caller.PID),
	})
}

func (f *facts) fileTableBound(r limits.Reading) bound {
	return catalogued(limits.FileTable, bound{
		scope: perHost, unit: standing,
		value: r.Max / f.ends(), used: (r.Used + f.ends() - 1) / f.ends(),
		formula: "file_max / ends",
		inputs:  []quantity{{"file_max", r.Max}, {"ends", f.ends()}, {"files", r.Used}},
		knob:    r.Knob,
		note:    f.bothEnds("files"),
	})
}

// kernelMemory is no limit that refuses by itself, and in no catalogue: the
// host swaps, then kills.
const kernelMemory = "kernel_memory"

func (f *facts) memoryBound() bound {
	b := bound{
		limit: kernelMemory, scope: perHost, unit: standing,
		value:   f.available / (f.memory.perEnd() * f.ends()),
		formula: "available / (end * ends)",
		inputs:  []quantity{{"available", f.available}, {"end", f.memory.perEnd()}, {"ends", f.ends()}},
		knob:    "MemAvailable",
		lifts:   "more memory, or fewer buffers: this is without a byte of data and without what the program itself keeps per connection",
		note:    "bytes of an idle end: the sum of " + f.memory.String(),
	}
	b.note = join(join(b.note, f.bothEnds("of them")), "memory.max of the program's cgroup may allow less")
	return b
}

// conntrackBound counts a connection once, also one with both ends here: an
// entry is a connection's, in both directions.
func (f *facts) conntrackBound(unit, note string) bound {
	return catalogued(limits.ConntrackTable, bound{
		scope: perHost, unit: unit,
		value: f.MaxConntrack, used: f.Conntrack,
		formula: "nf_conntrack_max", inputs: []quantity{{"nf_conntrack_max", f.MaxConntrack}},
		knob: fmt.Sprintf("net.netfilter.nf_conntrack_max = %d", f.MaxConntrack),
		note: note,
	})
}

// bothEnds says why such a connection costs twice.
func (f *facts) bothEnds(what string) string {
	if !f.here {
		return ""
	}
	return "both ends are on this host, so a connection takes two " + what
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}
