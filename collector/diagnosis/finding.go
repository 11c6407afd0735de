package diagnosis

import (
	"slices"

	"brink/collector"
)

// Diagnosis is what is known about one subject.
type Diagnosis struct {
	Subject  string // "port 8080"
	Netns    uint32 // the network namespace that was looked at
	Verdict  string // one sentence
	Findings []Finding
}

// Finding is one piece of evidence, or one thing that is not known.
type Finding struct {
	Kind   Kind
	Text   string // a sentence
	Source string // where it was read
	Fixes  []Fix  // the best one first

	about func(collector.Visitor) // whom and what, in the vocabulary
}

// Fix is something to do, and what that costs.
type Fix struct{ Advice, Cost string }

// Kind is the value of brink.finding.
type Kind string

// The kinds of findings.
const (
	Held           Kind = "held"       // by a listener, or a UDP socket
	Bound          Kind = "bound"      // by a socket that has done nothing but bind
	Connected      Kind = "connected"  // by connections
	TimeWait       Kind = "time_wait"  // by nobody any more
	Free           Kind = "free"       // by nobody at all
	Bind           Kind = "bind"       // what a new server would be told
	Chosen         Kind = "port_range" // whether the kernel chooses the port for clients
	Privileged     Kind = "privileged_port"
	Elsewhere      Kind = "elsewhere" // in another network namespace
	FDShort        Kind = "fd_short"
	Descriptors    Kind = "descriptors" // enough of them
	Threads        Kind = "threads"
	AcceptQueue    Kind = "accept_queue"
	Sockets        Kind = "sockets"
	CloseWait      Kind = "close_wait"
	Unanswered     Kind = "unanswered" // connects that wait
	EphemeralPorts Kind = "ephemeral_ports"
	TimeWaitReuse  Kind = "time_wait_reuse"
	ConntrackTable Kind = "conntrack_table"
	Route          Kind = "route"
	Nobody         Kind = "no_listener"
	Reading        Kind = "reading" // how the question was understood
	Refused        Kind = "refused"
	NotRefused     Kind = "not_refused"
	Unknown        Kind = "unknown"
)

func (d *Diagnosis) add(findings ...Finding) { d.Findings = append(d.Findings, findings...) }

// Understood puts in front how the question was read.
func (d *Diagnosis) Understood(text string) {
	d.Findings = slices.Insert(d.Findings, 0, Finding{Kind: Reading, Text: text})
}

func (d *Diagnosis) unknown(texts ...string) {
	for _, text := range texts {
		d.add(Finding{Kind: Unknown, Text: text})
	}
}

// Fixes are those of all findings, each once.
func (d *Diagnosis) Fixes() (fixes []Fix) {
	for i := range d.Findings {
		for _, fix := range d.Findings[i].Fixes {
			if !slices.ContainsFunc(fixes, func(f Fix) bool { return f.Advice == fix.Advice }) {
				fixes = append(fixes, fix)
			}
		}
	}
	return fixes
}

// From here on a limit is told with what to do about it, and from there on in
// the verdict.
const (
	tight     = 0.7
	exhausted = 0.9
)
