package diagnosis

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"brink/collector"
	"brink/collector/limits"
)

// shown is how many sockets or groups of one kind have a line of their own.
const shown = 8

// openFindings are the listeners, the sockets that are only bound, and UDP's.
func (p *Port) openFindings() (list []Finding) {
	open := p.those((*Holder).open)
	for _, h := range open[:min(len(open), shown)] {
		f := Finding{Kind: Held, Source: socketsSource, about: h.visit, Fixes: p.stopping(h)}
		switch {
		case h.listens():
			f.Text = fmt.Sprintf("%s listens on %s %s.", h.who(), h.Local, h.details())
		case h.tcp():
			f.Kind = Bound
			f.Text = fmt.Sprintf("%s has bound %s %s, and neither listens nor connects: ss -l and netstat -l do not show it.", h.who(), h.Local, h.details())
		default:
			f.Text = fmt.Sprintf("%s has %s %s.", h.who(), h.Local, h.details())
		}
		f.Text = sentence(f.Text)
		list = append(list, f)
	}
	if n := len(open) - len(list); n > 0 {
		list = append(list, Finding{Kind: Held, Source: socketsSource, about: aboutCount(n),
			Text: fmt.Sprintf("%s more are open on the port.", plural(n, "socket"))})
	}
	return list
}

// stopping is the first fix for a port that somebody holds. There is none for
// what is nobody's.
func (p *Port) stopping(h *Holder) []Fix {
	if h.Process.PID == 0 {
		return nil
	}
	what := "stop " + h.who()
	if h.Unit != "" {
		what += ", which is " + h.Unit
	}
	cost := "what it serves is gone"
	if n := p.count(func(other *Holder) bool { return other.connected() && other.Process.PID == h.Process.PID }); n > 0 {
		cost += fmt.Sprintf(", %s with it", plural(n, "open connection"))
	}
	if h.listens() {
		cost += "; connections that it closes first stay in TIME_WAIT for " + timeWaitSpan + ", for which a new server needs SO_REUSEADDR"
	}
	if h.boundOnly() {
		cost = "it may be about to listen or to connect, which then fails"
	}
	return []Fix{{Advice: what, Cost: cost}}
}

// connectionFindings are the connections, process by process. Those that wait
// to be accepted are told with the listener's queue.
func (p *Port) connectionFindings() (list []Finding) {
	queued := p.count((*Holder).listens) > 0
	connected := p.those(func(h *Holder) bool { return h.connected() && !(queued && h.waitsForAccept()) })
	groups := groupConnections(connected)
	for _, g := range groups[:min(len(groups), shown)] {
		list = append(list, p.connectionFinding(g))
	}
	if n := len(groups) - len(list); n > 0 {
		list = append(list, Finding{Kind: Connected, Source: socketsSource, Text: fmt.Sprintf("%s more have connections from this port.", plural(n, "process"))})
	}
	return list
}

func (p *Port) connectionFinding(g []*Holder) Finding {
	h := g[0]
	f := Finding{Kind: Connected, Source: socketsSource, about: h.visit}
	if len(g) == 1 {
		f.Text = sentence(fmt.Sprintf("%s is connected from %s to %s (%s, %s)", h.who(), h.Local, h.Peer, h.stateName(), h.options()))
	} else {
		f.about = func(v collector.Visitor) {
			visitProcess(v, h.Process.PID, h.Process.Name)
			v.String(collector.KeyTransport, h.transport().String())
			v.Uint(collector.KeyCount, uint64(len(g)))
		}
		f.Text = sentence(fmt.Sprintf("%s from this port, of %s: %s", plural(len(g), "connection"), h.who(), stateCounts(g)))
	}
	if p.count((*Holder).open) == 0 {
		f.Fixes = p.stopping(h)
	}
	return f
}

// waitingFindings are the timewait sockets: of two kinds, since one that still
// waits for the peer's FIN has its TIME_WAIT before it.
func (p *Port) waitingFindings() (list []Finding) {
	done := p.those(func(h *Holder) bool { return h.TimeWait && collector.State(h.State) != collector.FinWait2 })
	half := p.those(func(h *Holder) bool { return h.TimeWait && collector.State(h.State) == collector.FinWait2 })
	if n := len(done); n > 0 {
		list = append(list, Finding{
			Kind: TimeWait, Source: socketsSource, about: aboutWaiting(done), Fixes: p.outwaiting(),
			Text: fmt.Sprintf("%s %s in TIME_WAIT (%s): the kernel keeps each for %s after it was closed, and no process has it.",
				plural(n, "connection"), are(n), atMost(namedInVerdict, tuples(done)), timeWaitSpan),
		})
	}
	if n := len(half); n > 0 {
		list = append(list, Finding{
			Kind: TimeWait, Source: socketsSource, about: aboutWaiting(half), Fixes: p.outwaiting(),
			Text: fmt.Sprintf("%s %s closed here and not by the peer (%s): the kernel waits for its FIN for as long as tcp_fin_timeout says, and no process has it.",
				plural(n, "connection"), are(n), atMost(namedInVerdict, tuples(half))),
		})
	}
	return list
}

// outwaiting: a listener that is there has its port already.
func (p *Port) outwaiting() []Fix {
	if p.count((*Holder).open) > 0 {
		return nil
	}
	return []Fix{{
		Advice: "set SO_REUSEADDR before bind()",
		Cost:   "none; it helps if the program that had these connections had set it too, as most servers do",
	}, {
		Advice: "wait until they have gone",
		Cost:   "at most " + timeWaitSpan,
	}}
}

func aboutWaiting(holders []*Holder) func(collector.Visitor) {
	return func(v collector.Visitor) {
		v.Uint(collector.KeyCount, uint64(len(holders)))
		holders[0].visit(v)
	}
}

func tuples(holders []*Holder) (words []string) {
	for _, h := range holders {
		words = append(words, fmt.Sprintf("%s to %s", h.Local, h.Peer))
	}
	return words
}

// queueFindings are the accept queues, fullest first as far as they differ.
func (p *Port) queueFindings() (list []Finding) {
	listeners := p.those((*Holder).listens)
	slices.SortStableFunc(listeners, func(a, b *Holder) int { return cmp.Compare(b.ReceiveQueue, a.ReceiveQueue) })
	for _, h := range listeners[:min(len(listeners), shown)] {
		list = append(list, queueFinding(h.accept(p.Settings.Somaxconn)))
	}
	return list
}

func queueFinding(r limits.Reading) Finding {
	f := Finding{Kind: AcceptQueue, Source: r.Source, about: aboutReading(r)}
	f.Text = fmt.Sprintf("%d of %d places in the accept queue at %s are taken (%s).", r.Used, r.Max, r.Local, r.Knob)
	if r.Utilisation() >= tight {
		f.Text = strings.TrimSuffix(f.Text, ".") + ": " + r.Limit.Entry().Meaning + "."
		f.Fixes = catalogueFix(r.Limit)
	}
	return f
}

// catalogueFix is the catalogue's advice, which has the costs in it. It speaks of
// the knob, which stands before it.
func catalogueFix(l limits.Limit) []Fix {
	return []Fix{{Advice: l.Entry().Knob + ": " + l.Entry().Advice}}
}

func countsInWords(counts map[collector.State]int) string {
	states := slices.SortedFunc(maps.Keys(counts), func(a, b collector.State) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var words []string
	for _, s := range states {
		words = append(words, fmt.Sprintf("%d %s", counts[s], s))
	}
	return strings.Join(words, ", ")
}
