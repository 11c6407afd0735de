// Package limits is the catalogue of the kernel's limits, and the readers that
// say how close each is.
//
//	catalogue: one row a limit ─→ name, unit, knob, meaning, advice
//	/proc, sysctl, sock_diag   ─→ readers ─→ how much of each limit is used
package limits
