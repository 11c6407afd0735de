package diagnosis

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"brink/collector"
	"brink/collector/limits"
)

func fullest(list []limits.Reading, most int) []limits.Reading {
	slices.SortStableFunc(list, func(a, b limits.Reading) int { return cmp.Compare(b.Utilisation(), a.Utilisation()) })
	return list[:min(len(list), most)]
}

func (p *Process) descriptors() Finding {
	f := descriptorFinding(p.Descriptors)
	var words []string
	for _, share := range p.Kinds {
		words = append(words, plural(share.Count, share.Kind))
	}
	if len(words) > 0 {
		f.Text += " They are " + atMost(shown, words) + "."
	}
	if uint64(p.Looked) < p.Descriptors.Used && p.Looked == mostLinks {
		f.Text += fmt.Sprintf(" Only the first %d were looked at.", mostLinks)
	}
	return f
}

func (p *Process) threads() (list []Finding) {
	for _, r := range p.Tasks {
		f := Finding{Kind: Threads, Source: r.Source, about: aboutReading(r)}
		whose := fmt.Sprintf("user %d", r.UID)
		if r.Cgroup != "" {
			whose = "cgroup " + r.Cgroup
		}
		f.Text = fmt.Sprintf("%d of %d threads of %s are in use (%s); %d are this process's.", r.Used, r.Max, whose, r.Knob, p.Threads)
		if r.Utilisation() >= tight {
			f.Fixes = catalogueFix(r.Limit)
		}
		list = append(list, f)
	}
	return list
}

// sockets counts them by state. A descriptor that is a socket of no state is a
// UNIX or netlink one, or TCP that has neither bound nor connected.
func (p *Process) sockets() []Finding {
	var all int
	for _, share := range p.Kinds {
		if share.Kind == "socket" {
			all = share.Count
		}
	}
	if all == 0 {
		return nil
	}
	states := map[collector.State]int{}
	for _, s := range p.TCP {
		states[collector.State(s.State)]++
	}
	f := Finding{Kind: Sockets, Source: socketsSource, about: func(v collector.Visitor) {
		v.Uint(collector.KeyCount, uint64(all))
		v.Object("states", func(v collector.Visitor) {
			for s := collector.Established; s <= collector.BoundInactive; s++ {
				visitNumber(v, s.String(), uint64(states[s]))
			}
		})
	}}
	f.Text = fmt.Sprintf("%s: %d TCP", plural(all, "socket"), len(p.TCP))
	if len(states) > 0 {
		f.Text += " (" + countsInWords(states) + ")"
	}
	f.Text += fmt.Sprintf(", %d UDP, and %d of other kinds, or neither bound nor connected.", len(p.UDP), max(0, all-len(p.TCP)-len(p.UDP)))
	list := []Finding{f}
	if n := states[collector.SynSent]; n > 0 {
		list = append(list, unanswered(n, p.peersIn(collector.SynSent)))
	}
	return list
}

// unanswered are connects that wait for the SYN's answer.
func unanswered(n int, peers []string) Finding {
	text := fmt.Sprintf("%s %s for the other end to answer", plural(n, "connect"), waits(n))
	if len(peers) > 0 {
		text += ": " + atMost(namedInVerdict, peers)
	}
	return Finding{Kind: Unanswered, Source: socketsSource, about: aboutCount(n), Text: text + "."}
}

func waits(n int) string {
	if n == 1 {
		return "waits"
	}
	return "wait"
}

// peersIn are the peers of sockets in a state, each once.
func (p *Process) peersIn(s collector.State) (words []string) {
	seen := map[netip.AddrPort]bool{}
	for _, socket := range p.TCP {
		if collector.State(socket.State) == s && !seen[socket.Peer] {
			seen[socket.Peer] = true
			words = append(words, socket.Peer.String())
		}
	}
	return words
}

// destinations are those with few ports left, and else the one with most taken.
func (p *Process) destinations() (list []Finding) {
	for i, r := range p.Destinations {
		if i > 0 && r.Utilisation() < tight || i == shown {
			break
		}
		list = append(list, portFinding(r))
	}
	return list
}

func portReading(use limits.Use, from netip.Addr, to netip.AddrPort, r *limits.PortRange) limits.Reading {
	reading := limits.Reading{
		Limit: limits.EphemeralPorts, Transport: "tcp", Local: netip.AddrPortFrom(from, 0), Peer: to,
		Used: uint64(use.Used), Max: uint64(use.Max), Knob: r.Knob(), Source: socketsSource,
	}
	if use.TimeWait > 0 {
		reading.Note = fmt.Sprintf("%d of them in TIME_WAIT", use.TimeWait)
	}
	return reading
}

func portFinding(r limits.Reading) Finding {
	f := Finding{Kind: EphemeralPorts, Source: r.Source, about: aboutReading(r)}
	note := ""
	if r.Note != "" {
		note = ", " + r.Note
	}
	f.Text = fmt.Sprintf("%d of %d ports are taken from %s to %s%s (%s).", r.Used, r.Max, r.Local.Addr(), r.Peer, note, r.Knob)
	if r.Utilisation() >= tight {
		f.Fixes = morePorts()
	}
	return f
}

// morePorts are the ways out, cheapest first.
func morePorts() []Fix {
	return []Fix{{
		Advice: "keep connections and use them again (a pool, keep-alive)",
		Cost:   "a change of the program",
	}, {
		Advice: `sysctl -w net.ipv4.ip_local_port_range="1024 65535"`,
		Cost:   "clients may take the ports of servers by chance: list those in net.ipv4.ip_local_reserved_ports",
	}, {
		Advice: "spread over more source or destination addresses, or more destination ports: each pair has the range anew",
		Cost:   "an address, and a change of the program or its configuration",
	}}
}

func (p *Process) closeWait() []Finding {
	n := p.inState(collector.CloseWait)
	if n < closeWaitPile {
		return nil
	}
	return []Finding{{
		Kind: CloseWait, Source: socketsSource, about: aboutCount(n),
		Text: fmt.Sprintf("%s %s in CLOSE_WAIT (%s): the peer has closed and this program has not; if the number does not fall, it leaks them.",
			plural(n, "connection"), are(n), atMost(namedInVerdict, p.peersIn(collector.CloseWait))),
		Fixes: []Fix{{
			Advice: "have the program close its sockets when read() returns 0; a restart closes them all",
			Cost:   "a change of the program; a restart breaks its other connections",
		}},
	}}
}
