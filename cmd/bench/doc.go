// Command bench measures what it costs to trace every connection: brink beside
// the tools that one would use instead, on the same load in the same run.
// `make bench` builds and runs it; it is never installed.
//
//	rows × rounds ─→ tracer: none · brink in its modes · tcplife · tcpstates
//	                   │ attached
//	                   ↓
//	                 load: connect, accept, close; a private namespace, pinned CPUs
//	                   │ connections, CPU time of the load and of the tracer, what was told
//	                   ↓
//	medians, spread, ratios ─→ goals: met or not ─→ table, JSON
//
// What is compared is CPU time per connection: that of the load, in which the
// kernel runs a tracer's programs, and that of the tracer's own process. On one
// CPU, which a load and its tracer share, that is the time by which connections
// come later. Unlike the time on the clock it hardly moves when other programs
// want the machine, too.
package main
