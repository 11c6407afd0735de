package diagnosis

import (
	"fmt"
	"strings"

	"brink/collector"
)

// free says that no TCP socket has the port: perhaps UDP has.
func (p *Port) free() Finding {
	text := "No socket, TCP or UDP, in any state, has the port in this network namespace"
	if len(p.Holders) > 0 {
		text = "No TCP socket, in any state, has the port in this network namespace"
	}
	return Finding{Kind: Free, Source: socketsSource, Text: text + "."}
}

// privileged: below some number a bind() is refused for lack of a right.
func (p *Port) privileged() []Finding {
	if uint64(p.Number) >= p.Unprivileged {
		return nil
	}
	return []Finding{{
		Kind: Privileged, Source: fmt.Sprintf("net.ipv4.ip_unprivileged_port_start = %d", p.Unprivileged),
		Text: "To bind it takes root or CAP_NET_BIND_SERVICE; others get EACCES.",
	}}
}

// chosen says whether a client may get the port by chance.
func (p *Port) chosen() Finding {
	r := p.Settings.Ports
	f := Finding{
		Kind: Chosen, Source: fmt.Sprintf("net.ipv4.ip_local_port_range = %d %d", r.Low, r.High),
		about: func(v collector.Visitor) { v.Bool("brink.port.chosen", r.Contains(p.Number)) },
	}
	switch {
	case p.Number < r.Low || p.Number > r.High:
		f.Text = "The kernel does not choose this port for clients: it is outside ip_local_port_range."
	case r.Reserved.Has(p.Number):
		f.Text = "The kernel does not choose this port for clients: it is in ip_local_reserved_ports."
	default:
		f.Text = "The kernel may choose this port for any client: it is in ip_local_port_range and not reserved, so that a server there may find it taken by chance."
		f.Fixes = []Fix{{
			Advice: fmt.Sprintf("sysctl -w net.ipv4.ip_local_reserved_ports=%s", strings.TrimPrefix(fmt.Sprintf("%s,%d", p.Reserved, p.Number), ",")),
			Cost:   "one port less for outgoing connections; it does not help against who has it already",
		}}
	}
	return f
}

// elsewhere: another namespace's port is no conflict, but may be what is looked for.
func (p *Port) elsewhere() (list []Finding) {
	for _, o := range p.Elsewhere[:min(len(p.Elsewhere), shown)] {
		list = append(list, Finding{
			Kind: Elsewhere, Source: socketsSource,
			Text: sentence(fmt.Sprintf("in %s, where it is no conflict, the port is held by %s (--netns %d looks there)",
				netnsName(o.Netns), enumerateHolders(pointers(o.Holders)), o.Netns)),
			about: func(v collector.Visitor) {
				v.Uint(collector.KeyNetns, uint64(o.Netns))
				o.Holders[0].visit(v)
			},
		})
	}
	if n := len(p.Elsewhere) - len(list); n > 0 {
		list = append(list, Finding{Kind: Elsewhere, Source: socketsSource, about: aboutCount(n),
			Text: fmt.Sprintf("It is held in %s more.", plural(n, "network namespace"))})
	}
	return list
}

func netnsName(netns uint32) string { return fmt.Sprintf("network namespace %d", netns) }
