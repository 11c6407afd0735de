package ledger

import "brink/collector"

// Kind is the "kind" of an account's JSON line.
const Kind = "time_wait_ledger"

// Visit tells an account in the vocabulary's words. What could not be found out
// is left out.
func (a *Account) Visit(v collector.Visitor) {
	v.Uint(collector.KeyNetns, uint64(a.Netns))
	v.Int("before", a.Before)
	v.Int("entered", a.Entered)
	v.Int("entered_fin_wait_2", a.EnteredFinWait2)
	v.Int("turned", a.Turned)
	v.Int("left_timer", a.LeftTimer)
	v.Int("left_early", a.LeftEarly)
	v.Int("reused_connect", a.ReusedConnect)
	v.Int("reused_syn", a.ReusedSYN)
	v.Int("overflowed", a.Overflowed)
	v.Int("now", a.Now())
	if a.Kernel != nil {
		v.Object("kernel", a.visitKernel)
		v.Int("difference", a.Difference())
		v.Object("differences", a.visitDifferences)
	}
	v.Object("by", a.By.visit)
	if a.Reason != "" {
		v.String("reason", a.Reason)
	}
	v.List("destinations", len(a.Destinations), func(i int, v collector.Visitor) { a.Destinations[i].visit(v) })
	if a.Other != (Destination{}) {
		v.Object("other_destinations", a.Other.visitCounts)
	}
}

// Difference is between the sockets that there should be and those that there
// are.
func (a *Account) Difference() int64 {
	for _, d := range a.Differences {
		if d.Figure == "now" {
			return d.By
		}
	}
	return 0
}

// Balanced reports whether every figure that could be held against the kernel's
// counters agrees with them.
func (a *Account) Balanced() bool {
	for _, d := range a.Differences {
		if d.By != 0 {
			return false
		}
	}
	return a.Kernel != nil
}

func (a *Account) visitKernel(v collector.Visitor) {
	k := a.Kernel
	v.Int("now", k.Now)
	if a.CountsEntries {
		v.Int("entered", k.Entered)
	} else {
		v.Int("left_timer", k.LeftTimer)
	}
	v.Int("reused_connect", k.ReusedConnect)
	v.Int("overflowed", k.Overflowed)
}

func (a *Account) visitDifferences(v collector.Visitor) {
	for _, d := range a.Differences {
		v.Int(d.Figure, d.By)
	}
}

func (s Sources) visit(v collector.Visitor) {
	v.String("turned", string(s.Turned))
	v.String("left_timer", string(s.LeftTimer))
	v.String("left_early", string(s.LeftEarly))
	v.String("reused_connect", string(s.ReusedConnect))
	v.String("reused_syn", string(s.ReusedSYN))
}

// The service's port is the peer's at the client's end, and local at the server's.
func (d *Destination) visit(v collector.Visitor) {
	v.String(collector.KeyRole, d.Role.String())
	if d.Role == collector.RoleServer {
		v.Uint(collector.KeyLocalPort, uint64(d.Port))
	}
	v.String(collector.KeyPeerAddress, d.Peer.String())
	if d.Role != collector.RoleServer {
		v.Uint(collector.KeyPeerPort, uint64(d.Port))
	}
	d.visitCounts(v)
}

func (d *Destination) visitCounts(v collector.Visitor) {
	v.Int("entered", d.Entered)
	v.Int("now", d.Now)
}
