/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * bind.h - bind() and listen() that find no port, or the wanted one taken.
 */
#ifndef BRINK_BIND_H
#define BRINK_BIND_H

#include "refuse.h"

static __always_inline void refuse_bind(struct refused *r, __u32 hook)
{
	__u32 limit = r->tuple.local_port ? LIMIT_BIND_CONFLICT : LIMIT_EPHEMERAL_PORTS;

	refuse_current(r, hook, limit, EADDRINUSE);
}

/*
 * inet_csk_get_port: wanted is 0 for "choose one". Its refusal is 1 in older
 * kernels and -EADDRINUSE in newer ones. inet_bind has put the address into the socket
 * before it calls, and takes it out again after a refusal.
 */
static __always_inline int port_taken(struct sock *sk, __u16 wanted, int result)
{
	struct refused r = {};

	if ((result != 1 && result != -EADDRINUSE) || !is_tcp(sk))
		return 0;
	refusal_of(sk, &r);
	r.tuple.local_port = wanted;
	refuse_bind(&r, HOOK_BIND);
	return 0;
}

#endif
