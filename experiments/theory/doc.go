// Package theory is the arithmetic of how many TCP connections there can be:
// formulas alone, no kernel and no clock.
//
//	n machines, m ports ─→ Ladder ─→ m · ⌊mn/2⌋ · m(n−1) · mn−2 · m²n², and what each overlooks
//	                    ─→ Practice ─→ C × P to one server port, and how many a second
//	a host's settings   ─→ Ports, Churn ─→ what connect() finds, which `brink predict` shows
//
// The experiments are where the same questions are put to a kernel.
package theory
