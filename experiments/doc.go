// Package experiments pushes connections to a limit and holds three things
// against each other.
//
//	Experiment (data) ─→ Runner, leg by leg, each in a lab of its own:
//	    prepare ─→ predict, from settings ─→ push, in user space ─→ evidence, from the kernel
//	                                                                   └─→ judge ─→ Result
//
// The prediction is made before anything is pushed. A verdict is held only if
// prediction, measurement and kernel evidence agree and no evidence was lost.
// An experiment never touches the host's network namespace.
package experiments
