package main

import (
	"bytes"
	"io"
	"net/netip"
	"time"

	"brink/collector"
	"brink/collector/jsonl"
	"brink/collector/limits"
)

// limitsJSON writes a line a reading, worst first, then a line for each kind of
// which not all are told, in one write.
func limitsJSON(w io.Writer, s limits.Snapshot) error {
	var b bytes.Buffer
	for i := range s.Readings {
		b.Write(jsonl.Marshal("limit", func(v collector.Visitor) { visitReading(v, &s.Readings[i], s.Time) }))
	}
	for _, o := range s.LeftOut {
		b.Write(jsonl.Marshal("left_out", func(v collector.Visitor) {
			v.String(collector.KeyLimit, o.Limit.String())
			visitNonZero(v, collector.KeyNetns, uint64(o.Netns))
			v.Uint(collector.KeyCount, uint64(o.Count))
			v.Time("time", s.Time)
		}))
	}
	_, err := w.Write(b.Bytes())
	return err
}

func visitReading(v collector.Visitor, r *limits.Reading, at time.Time) {
	v.String(collector.KeyLimit, r.Limit.String())
	v.Uint(collector.KeyLimitUsed, r.Used)
	v.Uint(collector.KeyLimitMax, r.Max)
	v.Float("brink.limit.utilization", r.Utilisation())
	v.String("brink.limit.unit", r.Limit.Entry().Unit)
	if d, ok := r.TimeToExhaustion(); ok {
		v.Float("brink.limit.time_to_exhaustion", d.Seconds())
	}
	if r.Rated {
		v.Float("brink.limit.rate", r.Rate)
	}
	visitNonZero(v, collector.KeyNetns, uint64(r.Netns))
	visitNonEmpty(v, collector.KeyTransport, r.Transport)
	visitEnd(v, collector.KeyLocalAddress, collector.KeyLocalPort, r.Local)
	visitEnd(v, collector.KeyPeerAddress, collector.KeyPeerPort, r.Peer)
	visitNonZero(v, collector.KeyPID, uint64(r.PID))
	visitNonEmpty(v, collector.KeyProcess, r.Process)
	visitNonZero(v, collector.KeyUID, uint64(r.UID))
	visitNonEmpty(v, collector.KeyCgroup, r.Cgroup)
	v.String(collector.KeyLimitKnob, r.Knob)
	v.String("brink.limit.source", r.Source)
	visitNonEmpty(v, "brink.limit.note", r.Note)
	v.Time("time", at)
}

func visitEnd(v collector.Visitor, address, port string, a netip.AddrPort) {
	if a.IsValid() {
		v.String(address, a.Addr().String())
		visitNonZero(v, port, uint64(a.Port()))
	}
}

func visitNonZero(v collector.Visitor, key string, n uint64) {
	if n != 0 {
		v.Uint(key, n)
	}
}

func visitNonEmpty(v collector.Visitor, key, s string) {
	if s != "" {
		v.String(key, s)
	}
}
