// Package portrule is the kernel's rule for sharing a port, in Go: which sockets
// refuse a bind() or a listen(), by which rule, and what would have allowed it.
//
//	Socket that asks ─┐
//	                  ├─ overlap (addresses) ─ shares (options) ─→ Verdict: Rule
//	Socket that holds ┘                                              │
//	                                    Predict: all holders, in the order they
//	                                    came, and what the kernel's table of ports
//	                                    remembers of them ─→ Refused, by which
//	                                    Remedies: what would have allowed it
//
// It is written from inet_csk_get_port (net/ipv4/inet_connection_sock.c) and
// udp_lib_get_port (net/ipv4/udp.c). kernel_test.go holds it against the running
// kernel, pair by pair; 5.10, 6.1, 6.12, 6.18 and 7.2 agreed, but for this:
//
//   - before 6.1 an IPv6 connection that is not V6Only is in the way of TCP on
//     127.0.0.6, too (see loopback4);
//   - from 6.1 on, until 5e07e672412b (6.9), ::ffff:a.b.c.d is not refused by
//     what holds ::ffff:0.0.0.0.
//
// It is pure: no system call, no clock.
//
// Left out, because user space cannot see it: a socket in TCP_REPAIR, which is
// refused by nobody; one whose reuseport group was made before its bind
// (SO_ATTACH_REUSEPORT_CBPF); VRFs, each of which numbers its ports by itself;
// and UDP before e537dd15d0d4 (7.0), which overlooks holders when a wildcard is
// asked for and more than ten sockets hash together.
package portrule
