/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * connect.h - how connect() fails before anything is sent.
 *
 * The port search (__inet_hash_connect) refuses with EADDRNOTAVAIL for one of
 * two reasons: the socket has no port yet and none is left to choose, or it has
 * one and this very 4-tuple exists. Everything else comes with the result of
 * tcp_v4_connect or tcp_v6_connect.
 */
#ifndef BRINK_CONNECT_H
#define BRINK_CONNECT_H

#include "refuse.h"

static __always_inline void refuse_port_choice(struct sock *sk, struct refused *r, bool bound)
{
	r->role = ROLE_CLIENT;
	if (bound)
		refuse_current(r, HOOK_PORT_CHOICE, LIMIT_FOUR_TUPLE, EADDRNOTAVAIL);
	else
		refuse_ports(sk, r, HOOK_PORT_CHOICE, EADDRNOTAVAIL);
}

static __always_inline int port_chosen(struct sock *sk, long result)
{
	if (result == -EADDRNOTAVAIL) {
		struct refused r = {};

		refusal_of(sk, &r);
		refuse_port_choice(sk, &r, READ(sk, __sk_common.skc_num));
	}
	return 0;
}

/* Where a sockaddr points to, which lies in user memory when it comes straight
 * from a system call. */
static __always_inline void read_peer(const void *address, bool user, struct tuple *t)
{
	struct sockaddr_in6 a = {};

	if (user)
		bpf_probe_read_user(&a, sizeof(struct sockaddr_in), address);
	else
		bpf_probe_read_kernel(&a, sizeof(struct sockaddr_in), address);
	if (a.sin6_family == AF_INET)
		__builtin_memcpy(t->peer, &((struct sockaddr_in *)&a)->sin_addr, 4);
	else if (user)
		bpf_probe_read_user(t->peer, 16, address + offsetof(struct sockaddr_in6, sin6_addr));
	else
		bpf_probe_read_kernel(t->peer, 16, address + offsetof(struct sockaddr_in6, sin6_addr));
	t->peer_port = bpf_ntohs(a.sin6_port);
	t->family = a.sin6_family;
}

/* No route, no permission, no memory: refused before SYN_SENT, so that no state
 * change told of it and the destination is only in the call's argument. */
static __always_inline void refused_before_syn(struct sock *sk, const void *address, bool user,
					       __u32 error)
{
	struct endpoint e = {.role = ROLE_CLIENT};

	e.netns = netns_of(sk);
	if (!netns_wanted(e.netns))
		return;
	own(&e);
	read_tuple(sk, &e.tuple);
	read_peer(address, user, &e.tuple);
	send_ended(sk, &e, HOOK_CONNECT, TCP_CLOSE, error);
}

/* Where the port search has no hook, its no is in the call's result. By now the
 * socket has lost its destination (tcp_v4_connect, at its label failure), the
 * record has it. */
static __always_inline void result_arrived(struct sock *sk, struct endpoint *e, __u32 error)
{
	struct refused r = {.tuple = e->tuple, .netns = e->netns};

	if (error == EADDRNOTAVAIL && !port_choices)
		refuse_port_choice(sk, &r, e->tuple.local_port);
	e->flags &= ~ENDPOINT_AWAITS_RESULT;
	send_ended(sk, e, HOOK_CONNECT, TCP_SYN_SENT, error);
	forget(sk);
}

static __always_inline int connect_returned(struct sock *sk, const void *address, bool user,
					    long result)
{
	struct endpoint *e;

	/* a signal interrupted it: the kernel calls it again (ERESTARTSYS), or the
	 * program does, and that call brings the result */
	if (result >= 0 || result == -EINPROGRESS || result == -EINTR || result <= -ERESTARTSYS)
		return 0;
	e = endpoint_of(sk);
	if (e && e->told) {
		bool same = e->told == inode_of(sk);

		forget(sk);
		if (same)
			return 0;
		e = NULL;
	}
	if (e && e->flags & ENDPOINT_AWAITS_RESULT)
		result_arrived(sk, e, -result);
	else if (!e && READ(sk, __sk_common.skc_state) == TCP_CLOSE)
		refused_before_syn(sk, address, user, -result);
	return 0;
}

/* tcp_v6_connect hands IPv4-mapped destinations to tcp_v4_connect: one call,
 * told once, by the outer function. */
static __always_inline int connect4_returned(struct sock *sk, const void *address, long result)
{
	if (result >= 0 || READ(sk, __sk_common.skc_family) == AF_INET6)
		return 0;
	return connect_returned(sk, address, false, result);
}

#endif
