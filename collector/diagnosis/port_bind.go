package diagnosis

import (
	"fmt"
	"net/netip"
	"slices"

	"brink/collector"
	"brink/collector/portrule"
)

// bindSource is where the kernel decides; package portrule says it in Go.
var bindSource = map[portrule.Transport]string{
	portrule.TCP: "inet_csk_bind_conflict", portrule.UDP: "udp_lib_lport_inuse",
}

// question is a bind() that a new server might try.
type question struct {
	transport portrule.Transport
	reuse     bool // SO_REUSEADDR
	at        netip.AddrPort
}

// answer is what becomes of it: refused by some, unsure because of others.
type answer struct {
	question
	refusing, unsure []*Holder
	rule             portrule.Rule
}

// ask holds a new socket against every holder. The holders' order is not known,
// so that what the kernel's bucket remembers of them is left out: for a socket
// without SO_REUSEPORT it admits nobody whom the holders would refuse.
func (p *Port) ask(q question) answer {
	a := answer{question: q}
	asker := q.socket()
	for i := range p.Holders {
		h := &p.Holders[i]
		verdict := portrule.Judge(asker, h.rule())
		switch {
		case verdict.Refuses:
			if len(a.refusing) == 0 {
				a.rule = verdict.Rule
			}
			a.refusing = append(a.refusing, h)
		case verdict.InTheWay():
			a.unsure = append(a.unsure, h)
		}
	}
	return a
}

func (q question) socket() portrule.Socket {
	return portrule.Socket{Transport: q.transport, Local: q.at, Options: portrule.Options{ReuseAddr: q.reuse}}
}

// outcome is what the sentence says after the addresses; equal outcomes share a
// sentence.
func (a *answer) outcome() string {
	switch {
	case len(a.refusing) > 0:
		return "would be refused (EADDRINUSE): " + a.reason()
	case len(a.unsure) > 0:
		return "may be refused or not: " + a.doubt()
	}
	return "would get it"
}

// reason names who refuses and why; the rule speaks of "the holder". Beside a
// listener its connections are no news.
func (a *answer) reason() string {
	first := a.refusing[0].precedence() // the holders are in that order
	var words []string
	for _, h := range a.refusing {
		if w := h.who(); h.precedence() == first && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	s := fmt.Sprintf("%s %s in the way", atMost(namedInVerdict, words), are(len(words)))
	if why := a.rule.Sentence(); why != "" {
		s += "; " + why
	}
	return s
}

func (a *answer) doubt() string {
	if !slices.ContainsFunc(a.unsure, func(h *Holder) bool { return !h.TimeWait }) {
		return "it depends on whether the connections in TIME_WAIT had SO_REUSEADDR, too, which nothing tells; what a listener accepts inherits it"
	}
	return fmt.Sprintf("it depends on the options of %s, which cannot be seen", a.unsure[0].who())
}

// bindFindings answer what a new server would be told at the wildcard addresses,
// with SO_REUSEADDR and without; of UDP, where that option takes another's
// datagrams away and few servers set it, without.
func (p *Port) bindFindings() (list []Finding) {
	for _, transport := range []portrule.Transport{portrule.TCP, portrule.UDP} {
		if p.count(func(h *Holder) bool { return h.transport() == transport }) > 0 {
			list = append(list, p.bindTo(transport)...)
		}
	}
	return list
}

// bindTo says what has the same answer in one sentence: first the addresses, of
// each kind of asker, then the askers, where they agree about all addresses.
func (p *Port) bindTo(transport portrule.Transport) (list []Finding) {
	var groups [][]answer
	if transport == portrule.TCP {
		groups = p.alike(transport, true)
	}
	groups = append(groups, p.alike(transport, false)...)
	shared := false // one set of remedies is enough
	for len(groups) > 0 {
		same, rest := groups[0], groups[1:]
		groups = nil
		for _, g := range rest {
			if g[0].outcome() == same[0].outcome() && slices.Equal(addresses(g), addresses(same)) {
				same = append(same, g...)
			} else {
				groups = append(groups, g)
			}
		}
		f := p.bindFinding(same)
		if len(same[0].refusing) > 0 && !shared {
			f.Fixes, shared = p.sharing(same[0]), true
		}
		list = append(list, f)
	}
	return list
}

// alike asks at the wildcard address of each family.
func (p *Port) alike(transport portrule.Transport, reuse bool) [][]answer {
	ask := func(addr netip.Addr) answer {
		return p.ask(question{transport, reuse, netip.AddrPortFrom(addr, p.Number)})
	}
	four, six := ask(netip.IPv4Unspecified()), ask(netip.IPv6Unspecified())
	if four.outcome() == six.outcome() {
		return [][]answer{{four, six}}
	}
	return [][]answer{{four}, {six}}
}

// bindFinding is one sentence for all that have the same answer.
func (p *Port) bindFinding(alike []answer) Finding {
	a := alike[0]
	f := Finding{
		Kind: Bind, Source: "the rule of " + bindSource[a.transport] + ", applied to these sockets",
		about: aboutBind(alike),
	}
	f.Text = fmt.Sprintf("A new %s that binds %s %s.", newcomer(alike), either(addresses(alike)), a.outcome())
	return f
}

// newcomer is the asker in words: with the option, without, or either way.
func newcomer(alike []answer) string {
	kind := map[portrule.Transport]string{portrule.TCP: "TCP server", portrule.UDP: "UDP socket"}[alike[0].transport]
	with := slices.ContainsFunc(alike, func(a answer) bool { return a.reuse })
	without := slices.ContainsFunc(alike, func(a answer) bool { return !a.reuse })
	switch {
	case with && without:
		return kind + ", with SO_REUSEADDR or without,"
	case with:
		return kind + " with SO_REUSEADDR, which most set,"
	}
	return kind + " without SO_REUSEADDR"
}

func addresses(alike []answer) (words []string) {
	for _, a := range alike {
		if w := a.at.String(); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return words
}

func aboutBind(alike []answer) func(collector.Visitor) {
	return func(v collector.Visitor) {
		a := alike[0]
		v.String(collector.KeyTransport, a.transport.String())
		if len(addresses(alike)) == 1 {
			v.String(collector.KeyLocalAddress, a.at.Addr().String())
		}
		v.Uint(collector.KeyLocalPort, uint64(a.at.Port()))
		if !slices.ContainsFunc(alike, func(b answer) bool { return b.reuse != a.reuse }) {
			v.Bool(collector.KeyReuseAddr, a.reuse)
		}
		if len(a.unsure) == 0 || len(a.refusing) > 0 {
			v.Bool("brink.allowed", len(a.refusing) == 0)
		}
		if len(a.refusing) > 0 {
			v.String(collector.KeyErrno, "EADDRINUSE")
			visitString(v, collector.KeyRule, string(a.rule))
		}
	}
}

// sharing are the ways to have the port as well, without stopping anybody.
func (p *Port) sharing(a answer) (fixes []Fix) {
	in := append(slices.Clone(a.refusing), a.unsure...)
	if slices.ContainsFunc(in, func(h *Holder) bool { return !h.TimeWait }) {
		sockets := make([]portrule.Socket, len(in))
		for i, h := range in {
			sockets[i] = h.rule()
		}
		for _, r := range portrule.Remedies(a.socket(), sockets...) {
			fixes = append(fixes, Fix{Advice: "set " + r.String(), Cost: costOf(r, a.transport)})
		}
	}
	if !slices.ContainsFunc(in, func(h *Holder) bool { return h.Local.Addr().IsUnspecified() }) {
		fixes = append(fixes, Fix{
			Advice: fmt.Sprintf("bind another address than %s, and not a wildcard", atMost(namedInVerdict, localAddresses(in))),
			Cost:   "it is reached at that address alone",
		})
	}
	if slices.ContainsFunc(in, func(h *Holder) bool { return h.open() }) {
		fixes = append(fixes, Fix{Advice: "take another port", Cost: "every client must be told"})
	}
	return fixes
}

func localAddresses(holders []*Holder) (words []string) {
	for _, h := range holders {
		if w := h.Local.Addr().String(); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return words
}

func costOf(r portrule.Remedy, t portrule.Transport) string {
	restart := ""
	if r.Side != portrule.Asker {
		restart = "; the holder must be changed, and started again"
	}
	switch {
	case r.Option == "IPV6_V6ONLY":
		return "that socket serves IPv6 alone; IPv4 needs one of its own" + restart
	case t == portrule.UDP && r.Option == "SO_REUSEADDR":
		return "the kernel gives unicast datagrams to one of the two alone, whichever bound last" + restart
	case r.Option == "SO_REUSEPORT":
		return "the kernel shares what comes in out between the two, so both must serve the same" + restart
	}
	return "none; only one of them can listen" + restart
}
