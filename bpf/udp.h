/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * udp.h - UDP numbers its ports apart from TCP, and refuses them alike: bind()
 * finds the wanted one taken or none at all, and a socket that sends or connects
 * without bind() (inet_autobind) finds none.
 */
#ifndef BRINK_UDP_H
#define BRINK_UDP_H

#include "bind.h"
#include "connect.h"

/* The address asked for is the caller's: a refused socket keeps none. */
static __always_inline void refuse_udp_bind(struct sock *sk, const void *address, bool user)
{
	struct refused r = {.netns = netns_of(sk)};
	struct tuple asked = {};

	read_peer(address, user, &asked);
	__builtin_memcpy(r.tuple.local, asked.peer, 16);
	r.tuple.local_port = asked.peer_port;
	r.tuple.family = asked.family;
	r.tuple.protocol = IPPROTO_UDP;
	refuse_bind(sk, &r, HOOK_UDP_PORT);
}

/* __inet_bind and __inet6_bind */
static __always_inline int udp_bound(struct sock *sk, const void *address, int result)
{
	if (result == -EADDRINUSE && is_udp(sk))
		refuse_udp_bind(sk, address, false);
	return 0;
}

static __always_inline int udp_autobound(struct sock *sk, int result)
{
	struct refused r = {};

	if (result != -EAGAIN || !is_udp(sk))
		return 0;
	refusal_of(sk, &r);
	r.tuple.protocol = IPPROTO_UDP;
	refuse_ports(sk, &r, HOOK_UDP_PORT, EAGAIN);
	return 0;
}

#endif
