// Package collector turns the kernel's records into facts.
//
//	ring buffer ─→ Run ─→ decode ─→ Table.Apply (pure) ─→ Fact ─→ sinks
//	sock_diag ───────────────────────────┘ (sockets older than brink)
//
// One goroutine, Run's, owns the table and calls the sinks; facts are lent to
// them and reused. Nothing here loads or attaches a program: a Source is given.
package collector

func cString(b []byte) string { return string(untilNUL(b)) }

func untilNUL(b []byte) []byte {
	for i, c := range b {
		if c == 0 {
			return b[:i]
		}
	}
	return b
}
