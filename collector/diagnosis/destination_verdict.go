package diagnosis

import (
	"errors"
	"fmt"
	"strings"

	"brink/collector"
	"brink/collector/limits"

	"golang.org/x/sys/unix"
)

// Diagnose says what on this host is in the way of connecting there.
func (d *Destination) Diagnose() *Diagnosis {
	g := &Diagnosis{Subject: "destination " + d.To.String(), Netns: d.Netns, Verdict: d.verdict()}
	g.add(d.route())
	if d.Route.Err == nil {
		g.add(portFinding(d.towards()))
		g.add(d.timeWaits()...)
		g.add(d.held()...)
		g.add(d.conntrack())
	}
	if len(d.Standing) > 0 {
		g.add(d.standing())
	}
	if n := d.Standing[collector.SynSent]; n > 0 {
		g.add(unanswered(n, nil))
	}
	if d.Route.Local && d.Route.Err == nil {
		g.add(d.here()...)
	}
	g.add(d.Watched.findings(d.refusals())...)
	if d.Route.Err == nil && !d.Route.Local {
		g.unknown(fmt.Sprintf("Whether %s answers: brink sends nothing there, and reads no firewall's rules.", d.To))
	}
	g.unknown("A connect from a socket that is bound to another address, or has IP_LOCAL_PORT_RANGE or SO_BINDTODEVICE, goes by other rules.")
	g.unknown(d.Unread...)
	return g
}

func (d *Destination) verdict() string {
	if d.Route.Err != nil {
		return fmt.Sprintf("nothing leads from here to %s: connect() gives %s%s.", d.To.Addr(), errnoOf(d.Route.Err), d.troubles())
	}
	var words []string
	if r := d.towards(); r.Used >= r.Max {
		words = append(words, fmt.Sprintf("no port is left from %s to %s (%d of %d are taken): connect() gives EADDRNOTAVAIL", d.Route.Source, d.To, r.Used, r.Max))
	} else if r.Utilisation() >= exhausted {
		words = append(words, fmt.Sprintf("few ports are left from %s to %s: %d of %d are taken", d.Route.Source, d.To, r.Used, r.Max))
	}
	if d.conntrackFull() {
		words = append(words, fmt.Sprintf("the connection tracking table is full (%d of %d): the packets of new connections are dropped", d.Settings.Conntrack, d.Settings.MaxConntrack))
	}
	if d.Route.Local {
		words = append(words, d.hereInVerdict()...)
	}
	if len(words) == 0 {
		words = append(words, d.clear())
	}
	return strings.Join(words, "; ") + d.troubles() + "."
}

func (d *Destination) clear() string {
	r := d.towards()
	free := fmt.Sprintf("%d of %d ports are free from %s", r.Max-r.Used, r.Max, d.Route.Source)
	if d.Route.Local {
		return fmt.Sprintf("nothing stands in the way to %s: %s listens there, and %s", d.To, d.listeners()[0].who(), free)
	}
	return fmt.Sprintf("nothing on this host stands in the way to %s: %s", d.To, free)
}

func (d *Destination) hereInVerdict() (words []string) {
	listeners := d.listeners()
	if len(listeners) == 0 {
		return []string{fmt.Sprintf("nobody listens on %s, which is this host: connect() gives ECONNREFUSED", d.To)}
	}
	for _, h := range listeners {
		if r := h.accept(0); r.Used >= r.Max {
			words = append(words, fmt.Sprintf("the accept queue of %s at %s is full (%d of %d): SYNs are dropped", h.who(), h.Local, r.Used, r.Max))
		}
	}
	return words
}

func (d *Destination) troubles() (s string) {
	if n := d.Standing[collector.SynSent]; n > 0 {
		s = fmt.Sprintf("; %s %s for an answer", plural(n, "connect"), waits(n))
	}
	if refused := d.Watched.inVerdict(d.refusals()); refused != "" {
		s += "; " + refused
	}
	return s
}

// errnoOf is the errno's name with its meaning.
func errnoOf(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) && unix.ErrnoName(errno) != "" {
		return fmt.Sprintf("%s (%s)", unix.ErrnoName(errno), errno)
	}
	return err.Error()
}

func (d *Destination) route() Finding {
	w := d.Route
	f := Finding{Kind: Route, Source: "the kernel's routes"}
	f.about = func(v collector.Visitor) {
		v.String(collector.KeyPeerAddress, d.To.Addr().String())
		v.Uint(collector.KeyPeerPort, uint64(d.To.Port()))
		if w.Source.IsValid() {
			v.String(collector.KeyLocalAddress, w.Source.String())
		}
		var errno unix.Errno
		if errors.As(w.Err, &errno) {
			visitString(v, collector.KeyErrno, unix.ErrnoName(errno))
			v.String(collector.KeyErrorType, collector.ErrorType(errno))
		}
	}
	if w.Err != nil {
		f.Text = fmt.Sprintf("The kernel has no way to %s: %s.", d.To.Addr(), errnoOf(w.Err))
		f.Fixes = []Fix{{
			Advice: fmt.Sprintf("ip route get %s shows what the kernel says; add a route, or bring the interface up", d.To.Addr().WithZone("")),
			Cost:   "a change of this host's network",
		}}
		return f
	}
	f.Text = fmt.Sprintf("connect() would use the source address %s", w.Source)
	if w.Interface != "" {
		f.Text += " on " + w.Interface
	}
	switch {
	case w.Local:
		f.Text += "; the destination is this host"
	case w.Gateway.IsValid():
		f.Text += fmt.Sprintf(", by way of %s", w.Gateway)
	}
	f.Text += "."
	return f
}

func (d *Destination) conntrackFull() bool {
	return d.Settings.MaxConntrack > 0 && d.Settings.Conntrack >= d.Settings.MaxConntrack
}

func (d *Destination) conntrack() Finding {
	s := &d.Settings
	if s.MaxConntrack == 0 {
		return Finding{Kind: ConntrackTable, Source: "/proc/sys/net/netfilter",
			Text: "This host tracks no connections: there is no table to fill."}
	}
	r := limits.Reading{
		Limit: limits.ConntrackTable, Used: s.Conntrack, Max: s.MaxConntrack,
		Knob: fmt.Sprintf("net.netfilter.nf_conntrack_max = %d", s.MaxConntrack), Source: "/proc/sys/net/netfilter/nf_conntrack_count",
	}
	f := Finding{Kind: ConntrackTable, Source: r.Source, about: aboutReading(r),
		Text: fmt.Sprintf("The connection tracking table has %d of %d entries.", r.Used, r.Max)}
	if r.Utilisation() >= tight {
		f.Fixes = catalogueFix(r.Limit)
	}
	return f
}
