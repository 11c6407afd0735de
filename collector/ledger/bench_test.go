package ledger

import (
	"testing"
	"time"

	"brink/collector"
)

// BenchmarkConnection is what one connection costs the ledger where ends of timewait
// sockets are not told: both ends, and the client's TIME_WAIT, over all ephemeral ports.
func BenchmarkConnection(b *testing.B) {
	l := New(Options{CountsEntries: true})
	active, passive := begun(0, collector.RoleClient, 0), begun(0, collector.RoleServer, 0)
	entry := enter(0, 0)
	b.ReportAllocs()
	for i := range b.N {
		port := 32768 + i*7919%28232
		now := noon.Add(time.Duration(i) * 40 * time.Microsecond)
		active.Start, active.Local = now, client(port)
		passive.Start, passive.Local, passive.Peer = now, server, client(port)
		entry.Time, entry.Local = now.Add(time.Microsecond), client(port)
		l.Accept(passive)
		l.Accept(active)
		l.Accept(entry)
	}
}
