package diagnosis

import (
	"fmt"
	"strings"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/sockdiag"
)

// closeWaitPile is from how many on sockets in CLOSE_WAIT are more than what is
// being closed at any moment.
const closeWaitPile = 10

// Diagnose says what the process is short of, and what it has open.
func (p *Process) Diagnose() *Diagnosis {
	d := &Diagnosis{Subject: fmt.Sprintf("process %d", p.PID), Netns: p.Netns, Verdict: p.verdict()}
	if p.Task != 0 {
		d.Understood(fmt.Sprintf("%d is a thread of process %d, which is diagnosed.", p.Task, p.PID))
	}
	if p.Descriptors.Max > 0 {
		d.add(p.descriptors())
	}
	d.add(p.threads()...)
	d.add(p.sockets()...)
	for _, r := range p.queues() {
		d.add(queueFinding(r))
	}
	d.add(p.destinations()...)
	d.add(p.closeWait()...)
	d.add(p.Watched.findings(p.refusals())...)
	d.unknown(p.Unread...)
	return d
}

func (p *Process) subject() string {
	s := "process " + who(p.PID, p.Name)
	if p.Unit != "" {
		s += " (" + p.Unit + ")"
	}
	return s
}

func (p *Process) verdict() string {
	var short []string
	if r := p.Descriptors; r.Max > 0 && r.Utilisation() >= exhausted {
		short = append(short, fmt.Sprintf("file descriptors (%d of %d in use)", r.Used, r.Max))
	}
	for _, r := range p.queues() {
		if r.Utilisation() >= exhausted {
			short = append(short, fmt.Sprintf("accept() calls (the accept queue at %s is full: %d of %d)", r.Local, r.Used, r.Max))
		}
	}
	for _, r := range p.Destinations {
		if r.Utilisation() >= exhausted {
			short = append(short, fmt.Sprintf("ephemeral ports to %s (%d of %d in use)", r.Peer, r.Used, r.Max))
		}
	}
	for _, r := range p.Tasks {
		if r.Utilisation() >= exhausted {
			short = append(short, fmt.Sprintf("threads (%d of %d, %s)", r.Used, r.Max, r.Knob))
		}
	}
	return p.subject() + " " + p.shortOf(short) + p.troubles() + "."
}

func (p *Process) shortOf(short []string) string {
	switch {
	case len(short) > 0:
		return "is short of " + atMost(namedInVerdict, short)
	case p.Descriptors.Max == 0:
		return "cannot be seen well enough to say what it is short of"
	case !p.Seen:
		return fmt.Sprintf("has %d of its %d file descriptors in use; what its sockets are short of cannot be seen from here", p.Descriptors.Used, p.Descriptors.Max)
	}
	return fmt.Sprintf("is short of nothing that brink sees: %d of %d file descriptors, %s, %s",
		p.Descriptors.Used, p.Descriptors.Max, plural(len(p.TCP), "TCP socket"), plural(int(p.Threads), "thread"))
}

func (p *Process) troubles() (s string) {
	if n := p.inState(collector.CloseWait); n >= closeWaitPile {
		s += fmt.Sprintf("; it has not closed %s that the peer has", plural(n, "connection"))
	}
	if refused := p.Watched.inVerdict(p.refusals()); refused != "" {
		s += "; " + refused
	}
	return s
}

func (p *Process) inState(s collector.State) (n int) {
	for i := range p.TCP {
		if collector.State(p.TCP[i].State) == s {
			n++
		}
	}
	return n
}

func (p *Process) listeners() (list []sockdiag.Socket) {
	for _, s := range p.TCP {
		if collector.State(s.State) == collector.Listen {
			list = append(list, s)
		}
	}
	return list
}

// queues are the accept queues of its listeners, the fullest of many.
func (p *Process) queues() (list []limits.Reading) {
	for _, s := range p.listeners() {
		h := holderOf(s)
		h.Process = sockdiag.Process{PID: p.PID, Name: p.Name}
		list = append(list, h.accept(p.Somaxconn))
	}
	return fullest(list, shown)
}

// descriptorFinding is of a process whose descriptors' kinds are not known.
func descriptorFinding(r limits.Reading) Finding {
	f := Finding{Kind: Descriptors, Source: r.Source, about: aboutReading(r)}
	f.Text = fmt.Sprintf("%s has %d of %d file descriptors in use (%s).", who(r.PID, r.Process), r.Used, r.Max, r.Knob)
	if r.Utilisation() >= tight {
		f.Kind = FDShort
		f.Text = strings.TrimSuffix(f.Text, ".") + ": beyond that, socket(), accept() and open() give EMFILE."
		f.Fixes = raiseDescriptors(r)
	}
	return f
}

func raiseDescriptors(r limits.Reading) []Fix {
	return []Fix{{
		Advice: fmt.Sprintf("prlimit --pid %d --nofile=%d:, at once and without a restart; LimitNOFILE= or ulimit -n for the next start", r.PID, 4*r.Max),
		Cost:   "about 1 KiB of kernel memory each that is then opened; above the hard limit it takes root; select() breaks from 1024 on",
	}, {
		Advice: fmt.Sprintf("close what leaks: ls -l /proc/%d/fd shows what is open", r.PID),
		Cost:   "a change of the program",
	}}
}
