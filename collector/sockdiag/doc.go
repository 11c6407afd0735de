// Package sockdiag asks the kernel for its TCP sockets over NETLINK_SOCK_DIAG
// (net/ipv4/inet_diag.c), filtered in the kernel, in any network namespace.
//
//	Query ─→ Dump ─→ []Socket ─→ Owners: socket inodes to processes (/proc/*/fd)
//
// /proc/net/tcp is never read: it formats every socket of the namespace.
package sockdiag
