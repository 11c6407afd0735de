package diagnosis

import (
	"fmt"
	"net/netip"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/sockdiag"
)

// Destination is what is known on this host about the way to an address and
// port. Nothing is sent there.
type Destination struct {
	To       netip.AddrPort
	Netns    uint32
	Route    Way
	Settings limits.Settings
	// Timestamps and ReuseDelay (in ms; a constant before 6.14) decide with
	// Settings.TimeWaitReuse whether connect() takes a port out of TIME_WAIT.
	Timestamps bool
	ReuseDelay uint64

	Towards limits.Use // connect() without bind()
	Held    limits.Use // bind() to port 0 of the source address
	// Standing are the connections to it, by state.
	Standing map[collector.State]int
	// Here are the sockets without a peer at the destination's port, if that is
	// an address of this host.
	Here    []Holder
	Watched Watched
	Unread  []string
}

// Way is how the kernel would send to the destination.
type Way struct {
	Source    netip.Addr
	Local     bool   // it is this host's own address
	Interface string // "eth0"; empty if not known
	Gateway   netip.Addr
	Err       error // there is no way: the kernel's errno
}

// ReadDestination looks at the way to an address and port.
func ReadDestination(n Namespace, to netip.AddrPort, way Way) (*Destination, error) {
	d := &Destination{To: to, Netns: n.Netns, Route: way, Standing: map[collector.State]int{}}
	settings, err := limits.ReadSettings(n.Path)
	if err != nil {
		return nil, err
	}
	d.Settings = *settings
	if err := n.Inside(d.readSettings); err != nil {
		return nil, err
	}
	sockets, err := sockdiag.Dump(sockdiag.Query{NetnsPath: n.Path})
	if err != nil {
		return nil, fmt.Errorf("look at the sockets towards %s: %w", to, err)
	}
	for _, s := range sockets {
		if s.Peer == to {
			d.Standing[collector.State(s.State)]++
		}
	}
	if way.Err != nil {
		return d, nil
	}
	ports := limits.CountPorts(settings.Ports, sockets)
	d.Towards, d.Held = ports.Towards(way.Source, to), ports.Held(way.Source)
	if way.Local {
		return d, d.readHere(n)
	}
	return d, nil
}

func (d *Destination) readSettings() error {
	d.Timestamps = settingNumber("net.ipv4.tcp_timestamps", 1) != 0
	d.ReuseDelay = settingNumber("net.ipv4.tcp_tw_reuse_delay", 1000)
	return nil
}

func (d *Destination) readHere(n Namespace) error {
	holders, unread, err := readHolders(n, d.To.Port())
	if err != nil {
		return err
	}
	for i := range holders {
		if h := &holders[i]; h.tcp() && h.open() {
			d.Here = append(d.Here, *h)
		}
	}
	d.Unread = append(d.Unread, unread...)
	return nil
}

// listeners are those that answer at the destination, as inet_lookup_listener
// prefers them: at the address itself, then at the wildcard of its family, then
// at the IPv6 one that takes IPv4 as well. Several share one by SO_REUSEPORT.
func (d *Destination) listeners() (list []*Holder) {
	for _, addr := range []netip.Addr{d.To.Addr().WithZone(""), d.wildcard(), netip.IPv6Unspecified()} {
		for i := range d.Here {
			if h := &d.Here[i]; h.listens() && h.Local.Addr() == addr && d.family(h) {
				list = append(list, h)
			}
		}
		if len(list) > 0 {
			return list
		}
	}
	return nil
}

func (d *Destination) wildcard() netip.Addr {
	if d.To.Addr().Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func (d *Destination) family(h *Holder) bool {
	return d.To.Addr().Is4() == h.Local.Addr().Is4() || !h.Options.V6Only
}

// reuses is the gate of tcp_twsk_unique as far as settings decide: 2 is for
// loopback alone.
func (d *Destination) reuses() bool {
	loopback := d.Route.Source.IsLoopback() || d.To.Addr().IsLoopback()
	return d.Timestamps && (d.Settings.TimeWaitReuse == 1 || d.Settings.TimeWaitReuse == 2 && loopback)
}

// towards is the use of the ports. What connect() takes back from TIME_WAIT
// counts as free.
func (d *Destination) towards() limits.Reading {
	use := d.Towards
	if d.reuses() {
		use.Used, use.TimeWait = use.Used-use.TimeWait, 0
	}
	return portReading(use, d.Route.Source, d.To, d.Settings.Ports)
}

// refusals are those of connects to it, and of its listener here. A storm of
// failures is told without addresses; the kernel's filter has let it pass.
func (d *Destination) refusals() (list []Refusal) {
	for _, r := range d.Watched.Refusals {
		here := d.Route.Local && r.Local.Port() == d.To.Port()
		storm := r.PID != 0 && !r.Peer.IsValid() && !r.Local.IsValid()
		mayBe := r.unowned() && (r.byTable() || r.byListener() && len(d.listeners()) > 0)
		if r.Peer == d.To || here || storm || mayBe {
			list = append(list, r)
		}
	}
	return list
}
