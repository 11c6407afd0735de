// Package limits is the catalogue of the kernel's limits, and the readers that
// say how close each is.
//
//	catalogue: one row a limit ─→ name, unit, knob, meaning, advice
//
//	/proc/PID ──────→ processes ─┐
//	/proc, cgroups ─→ host ──────┼─→ Reader ─→ Snapshot: Readings, worst first
//	each namespace ─→ namespace ─┘   (keeps the one before, for rates)
//	  sysctls, sockstat, conntrack: by a thread that enters it
//	  sock_diag: one dump ─→ Ports, listeners
//
// What a host does not have is left out; what this user may not see is named in
// Snapshot.Unread. Neither is an error. Nothing here writes or opens sockets of
// the families that it counts.
package limits
