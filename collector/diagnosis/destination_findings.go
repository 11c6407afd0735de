package diagnosis

import (
	"fmt"

	"brink/collector"
)

// timeWaits says what becomes of the ports in TIME_WAIT.
func (d *Destination) timeWaits() []Finding {
	n := d.Towards.TimeWait
	if n == 0 {
		return nil
	}
	f := Finding{Kind: TimeWaitReuse, about: aboutCount(n),
		Source: fmt.Sprintf("net.ipv4.tcp_tw_reuse = %d, tcp_timestamps", d.Settings.TimeWaitReuse)}
	if d.reuses() {
		f.Text = fmt.Sprintf("%s in TIME_WAIT towards it count as free: connect() takes such a port again after %d ms, if both ends use timestamps.", plural(n, "port"), d.ReuseDelay)
		return []Finding{f}
	}
	f.Text = fmt.Sprintf("%s towards it %s in TIME_WAIT, for at most %s, and connect() does not take them again.", plural(n, "port"), are(n), timeWaitSpan)
	f.Fixes = []Fix{{
		Advice: "sysctl -w net.ipv4.tcp_tw_reuse=1",
		Cost:   "small: with timestamps at both ends, old segments are told apart",
	}, {
		Advice: "wait, or have the other end close first",
		Cost:   "at most " + timeWaitSpan + "; TIME_WAIT is then at the other end",
	}}
	if !d.Timestamps {
		f.Fixes[0].Advice += " net.ipv4.tcp_timestamps=1"
	}
	return []Finding{f}
}

// held is of programs that bind first: they share no port between destinations.
func (d *Destination) held() []Finding {
	r := portReading(d.Held, d.Route.Source, d.To, d.Settings.Ports)
	if r.Utilisation() < tight {
		return nil
	}
	return []Finding{{
		Kind: EphemeralPorts, Source: r.Source, about: aboutReading(r),
		Text: fmt.Sprintf("A program that binds %s with port 0 before it connects finds %d of %d ports taken: such a bind() gives EADDRINUSE when none is left.", d.Route.Source, r.Used, r.Max),
		Fixes: []Fix{{
			Advice: "set IP_BIND_ADDRESS_NO_PORT before bind()",
			Cost:   "a change of the program; the kernel then chooses the port at connect(), for this destination alone",
		}},
	}}
}

func (d *Destination) standing() Finding {
	n := 0
	for _, count := range d.Standing {
		n += count
	}
	return Finding{Kind: Connected, Source: socketsSource, about: aboutCount(n),
		Text: fmt.Sprintf("%s from this network namespace to it: %s.", plural(n, "connection"), countsInWords(d.Standing))}
}

// here says who answers at an address of this host.
func (d *Destination) here() (list []Finding) {
	listeners := d.listeners()
	for _, h := range listeners[:min(len(listeners), shown)] {
		list = append(list, Finding{Kind: Held, Source: socketsSource, about: h.visit,
			Text: sentence(fmt.Sprintf("%s listens on %s %s", h.who(), h.Local, h.details()))})
		list = append(list, queueFinding(h.accept(d.Settings.Somaxconn)))
	}
	if len(listeners) > 0 {
		return list
	}
	list = append(list, Finding{
		Kind: Nobody, Source: socketsSource, Text: fmt.Sprintf("Nobody listens on %s, nor on a wildcard address with that port.", d.To),
		about: func(v collector.Visitor) {
			visitAddress(v, collector.KeyLocalAddress, collector.KeyLocalPort, d.To)
			v.String(collector.KeyErrno, "ECONNREFUSED")
		},
		Fixes: []Fix{{Advice: "start the server, or connect to where it listens", Cost: "none"}},
	})
	for i := range d.Here {
		h := &d.Here[i]
		kind, does := Held, "listens on"
		if h.boundOnly() {
			kind, does = Bound, "has bound, and does not listen on,"
		}
		if i < shown {
			list = append(list, Finding{Kind: kind, Source: socketsSource, about: h.visit,
				Text: sentence(fmt.Sprintf("%s %s %s %s", h.who(), does, h.Local, h.details()))})
		}
	}
	return list
}
