package diagnosis

import (
	"net/netip"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/portrule"
)

// The words of a diagnosis that no fact has.
const (
	keyFinding = "brink.finding"
	keySource  = "source"
	keyText    = "text"
	keyAdvice  = "advice"
	keyCost    = "cost"
)

// Visit tells the subject and the verdict.
func (d *Diagnosis) Visit(v collector.Visitor) {
	v.String("subject", d.Subject)
	v.String("verdict", d.Verdict)
	visitNumber(v, collector.KeyNetns, uint64(d.Netns))
}

// Visit tells one finding. Fixes beyond the best one are its alternatives.
func (f *Finding) Visit(v collector.Visitor) {
	v.String(keyFinding, string(f.Kind))
	v.String(keyText, f.Text)
	visitString(v, keySource, f.Source)
	if f.about != nil {
		f.about(v)
	}
	if len(f.Fixes) > 0 {
		f.Fixes[0].visit(v)
	}
	if others := len(f.Fixes) - 1; others > 0 {
		v.List("alternatives", others, func(i int, v collector.Visitor) { f.Fixes[1+i].visit(v) })
	}
}

func (f Fix) visit(v collector.Visitor) {
	v.String(keyAdvice, f.Advice)
	visitString(v, keyCost, f.Cost)
}

// Visit tells whose socket it is and what is known of it.
func (h *Holder) visit(v collector.Visitor) {
	visitProcess(v, h.Process.PID, h.Process.Name)
	if h.Process.PID != 0 {
		v.Uint(collector.KeyUID, uint64(h.UID))
	}
	v.String(collector.KeyTransport, h.transport().String())
	visitString(v, collector.KeyState, h.stateName())
	visitAddress(v, collector.KeyLocalAddress, collector.KeyLocalPort, h.Local)
	visitAddress(v, collector.KeyPeerAddress, collector.KeyPeerPort, h.peer())
	for _, o := range []struct {
		key   string
		which portrule.Unknown
		on    bool
	}{
		{collector.KeyReuseAddr, portrule.ReuseAddr, h.Options.ReuseAddr},
		{collector.KeyReusePort, portrule.ReusePort, h.Options.ReusePort},
		{collector.KeyV6Only, portrule.V6Only, h.Options.V6Only},
	} {
		if h.Unknown&o.which == 0 && (o.which != portrule.V6Only || h.Local.Addr().Is6()) {
			v.Bool(o.key, o.on)
		}
	}
}

// aboutReading tells how close something is to a limit.
func aboutReading(r limits.Reading) func(collector.Visitor) {
	return func(v collector.Visitor) {
		v.String(collector.KeyLimit, r.Limit.String())
		v.Uint(collector.KeyLimitUsed, r.Used)
		v.Uint(collector.KeyLimitMax, r.Max)
		visitString(v, collector.KeyLimitKnob, r.Knob)
		visitString(v, collector.KeyTransport, r.Transport)
		visitAddress(v, collector.KeyLocalAddress, collector.KeyLocalPort, r.Local)
		visitAddress(v, collector.KeyPeerAddress, collector.KeyPeerPort, r.Peer)
		visitProcess(v, r.PID, r.Process)
		visitNumber(v, collector.KeyUID, uint64(r.UID))
		visitString(v, collector.KeyCgroup, r.Cgroup)
	}
}

func aboutCount(n int) func(collector.Visitor) {
	return func(v collector.Visitor) { v.Uint(collector.KeyCount, uint64(n)) }
}

func visitProcess(v collector.Visitor, pid uint32, name string) {
	visitNumber(v, collector.KeyPID, uint64(pid))
	visitString(v, collector.KeyProcess, name)
}

func visitAddress(v collector.Visitor, address, port string, a netip.AddrPort) {
	if a.IsValid() {
		v.String(address, a.Addr().String())
		visitNumber(v, port, uint64(a.Port()))
	}
}

func visitString(v collector.Visitor, key, value string) {
	if value != "" {
		v.String(key, value)
	}
}

func visitNumber(v collector.Visitor, key string, n uint64) {
	if n != 0 {
		v.Uint(key, n)
	}
}
