package diagnosis

import (
	"fmt"
	"strings"

	"brink/collector"
)

// Diagnose says who holds the port, what a new server would be told, and what
// would change that.
func (p *Port) Diagnose() *Diagnosis {
	d := &Diagnosis{Subject: fmt.Sprintf("port %d", p.Number), Netns: p.Netns}
	d.Verdict = p.verdict()
	d.add(p.openFindings()...)
	d.add(p.connectionFindings()...)
	d.add(p.waitingFindings()...)
	if !p.anyTCP() {
		d.add(p.free())
	}
	d.add(p.queueFindings()...)
	for _, r := range p.Descriptors {
		if r.Utilisation() >= tight {
			d.add(descriptorFinding(r))
		}
	}
	d.add(p.bindFindings()...)
	d.add(p.privileged()...)
	d.add(p.chosen())
	d.add(p.elsewhere()...)
	d.add(p.Watched.findings(p.refusals())...)
	if !p.anyTCP() {
		d.unknown("What the kernel answers to other hosts that connect to a port where nobody listens (a reset) is told by no hook.")
	}
	d.unknown(p.Unread...)
	return d
}

// refusals are those with the port at either end. A storm of failures is told
// without addresses; the kernel's filter has let it pass.
func (p *Port) refusals() (list []Refusal) {
	listens := p.count((*Holder).listens) > 0
	for _, r := range p.Watched.Refusals {
		nowhere := !r.Local.IsValid() && !r.Peer.IsValid()
		mayBe := r.unowned() && r.byListener() && listens
		if r.Local.Port() == p.Number || r.Peer.Port() == p.Number || nowhere && r.PID != 0 || mayBe {
			list = append(list, r)
		}
	}
	return list
}

func (p *Port) anyTCP() bool { return p.count((*Holder).tcp) > 0 }

func (p *Port) count(which func(*Holder) bool) int { return len(p.those(which)) }

func (p *Port) those(which func(*Holder) bool) (some []*Holder) {
	for i := range p.Holders {
		if which(&p.Holders[i]) {
			some = append(some, &p.Holders[i])
		}
	}
	return some
}

// connected has a peer and is nobody's past.
func (h *Holder) connected() bool { return !h.open() && !h.TimeWait }

// namedInVerdict is how many processes the one sentence names.
const namedInVerdict = 3

func (p *Port) verdict() string {
	open, connected := p.those((*Holder).open), p.those((*Holder).connected)
	waiting := p.count(func(h *Holder) bool { return h.TimeWait })
	subject := fmt.Sprintf("port %d", p.Number)
	switch {
	case len(open) > 0:
		return subject + " is held by " + enumerateHolders(open) + p.troubles() + "."
	case len(connected) > 0:
		return fmt.Sprintf("%s is in use by %s, and nobody listens on it%s.", subject, usersOf(connected), p.troubles())
	case waiting > 0:
		return fmt.Sprintf("%s is held by no process: %s in TIME_WAIT, which %s at most %s more%s.",
			subject, plural(waiting, "closed connection")+" "+are(waiting), lasts(waiting), timeWaitSpan, p.troubles())
	case len(p.Elsewhere) > 0:
		return fmt.Sprintf("nobody holds %s in this network namespace, but %s in %s%s.",
			subject, enumerateHolders(pointers(p.Elsewhere[0].Holders)), netnsName(p.Elsewhere[0].Netns), p.troubles())
	}
	return fmt.Sprintf("nobody holds %s: a new server could bind it%s.", subject, p.troubles())
}

// timeWaitSpan is TCP_TIMEWAIT_LEN, which no setting changes.
const timeWaitSpan = "60 s"

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func lasts(n int) string {
	if n == 1 {
		return "lasts"
	}
	return "last"
}

func pointers(holders []Holder) (list []*Holder) {
	for i := range holders {
		list = append(list, &holders[i])
	}
	return list
}

// enumerateHolders names processes with what they do at the port, each once.
func enumerateHolders(holders []*Holder) string {
	var order []string
	does := map[string][]string{}
	for _, h := range holders {
		name := h.who()
		if does[name] == nil {
			order = append(order, name)
		}
		does[name] = append(does[name], h.does())
	}
	var words []string
	for _, name := range order {
		words = append(words, fmt.Sprintf("%s (%s)", name, atMost(namedInVerdict, does[name])))
	}
	return atMost(namedInVerdict, words)
}

// does is what an open socket is there for.
func (h *Holder) does() string {
	switch {
	case h.listens():
		return fmt.Sprintf("listening on %s", h.Local)
	case h.tcp():
		return fmt.Sprintf("bound to %s and not listening, so that ss -l does not show it", h.Local)
	}
	return fmt.Sprintf("UDP on %s", h.Local)
}

// usersOf names processes by their connections.
func usersOf(connected []*Holder) string {
	var words []string
	for _, g := range groupConnections(connected) {
		if len(g) == 1 {
			words = append(words, fmt.Sprintf("%s (%s from %s to %s)", g[0].who(), g[0].stateName(), g[0].Local, g[0].Peer))
			continue
		}
		words = append(words, fmt.Sprintf("%s (%s)", g[0].who(), plural(len(g), "connection")))
	}
	return atMost(namedInVerdict, words)
}

// groupConnections puts those of one process together, in the given order.
func groupConnections(connected []*Holder) (groups [][]*Holder) {
	at := map[string]int{}
	for _, h := range connected {
		key := h.transport().String() + " " + h.who()
		i, known := at[key]
		if !known {
			i = len(groups)
			at[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], h)
	}
	return groups
}

// troubles are what the verdict adds: a full queue, no descriptor, refusals.
func (p *Port) troubles() string {
	var words []string
	for _, h := range p.those((*Holder).listens) {
		if r := h.accept(0); r.Used >= r.Max {
			words = append(words, fmt.Sprintf("the accept queue at %s is full (%d of %d)", h.Local, r.Used, r.Max))
		}
	}
	for _, r := range p.Descriptors {
		if r.Utilisation() >= exhausted {
			words = append(words, fmt.Sprintf("%s has %d of its %d file descriptors in use", who(r.PID, r.Process), r.Used, r.Max))
		}
	}
	if s := p.Watched.inVerdict(p.refusals()); s != "" {
		words = append(words, s)
	}
	if len(words) == 0 {
		return ""
	}
	return "; " + strings.Join(words, "; ")
}

// stateCounts is "3 established, 1 close_wait", the most first.
func stateCounts(holders []*Holder) string {
	counts := map[collector.State]int{}
	for _, h := range holders {
		counts[collector.State(h.State)]++
	}
	return countsInWords(counts)
}
