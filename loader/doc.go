// Package loader gets brink's programs into the kernel.
//
//	hooks (the table) ─→ Attach: per hook, rung by rung, until one holds
//	                        ├─→ Modes: what was got, and why not better
//	                        ├─→ Next: raw records from the ring
//	                        └─→ Counts, Hits: the kernel's own numbers
//
// A program that a kernel refuses costs its hook a rung and nothing else. Every
// attachment belongs to a file descriptor of this process, so the kernel takes
// all of it back when the process ends, however it ends.
package loader
