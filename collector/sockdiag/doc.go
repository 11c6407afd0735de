// Package sockdiag asks the kernel for its TCP and UDP sockets over
// NETLINK_SOCK_DIAG (net/ipv4/inet_diag.c), filtered in the kernel, in any
// network namespace.
//
//	Query ─→ Each, Dump ─→ Socket ─→ Owners: socket inodes to processes (/proc/*/fd)
//	                            │
//	                            ├─→ OptionsOf: what sock_diag does not tell
//	                            └─→ Bound: whom it does not list before 6.8
//
// The lower two copy a process's descriptor (pidfd_getfd, 5.6), ask it and close
// the copy at once. Should the process close its own meanwhile, its close takes
// effect microseconds late; nothing else of the socket changes.
//
// /proc/net/tcp is never read: it formats every socket of the namespace.
package sockdiag
