/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * bind.h - bind() and listen() that find no port, or the wanted one taken.
 */
#ifndef BRINK_BIND_H
#define BRINK_BIND_H

#include "refuse.h"

/* The options that decide whether two sockets may share a port. */
static __always_inline void read_bind_options(struct sock *sk, struct bind_options *o)
{
	struct sock_common *skc = &sk->__sk_common;

	o->reuse = BPF_CORE_READ_BITFIELD_PROBED(skc, skc_reuse) != 0;
	o->reuseport = BPF_CORE_READ_BITFIELD_PROBED(skc, skc_reuseport);
	o->v6only = BPF_CORE_READ_BITFIELD_PROBED(skc, skc_ipv6only);
	o->device = BPF_CORE_READ(skc, skc_bound_dev_if);
}

static __always_inline void refuse_bind(struct sock *sk, struct refused *r, __u32 hook)
{
	read_bind_options(sk, &r->bind);
	if (r->tuple.local_port)
		refuse_current(r, hook, LIMIT_BIND_CONFLICT, EADDRINUSE);
	else
		refuse_ports(sk, r, hook, EADDRINUSE);
}

/*
 * inet_csk_get_port: wanted is 0 for "choose one". Its refusal is 1 in older
 * kernels and -EADDRINUSE in newer ones. inet_bind has put the address into the
 * socket before it calls, and takes it out again after a refusal. listen() asks
 * for the port again, in TCP_LISTEN already (inet_csk_listen_start).
 */
static __always_inline int port_taken(struct sock *sk, __u16 wanted, int result)
{
	struct refused r = {};

	if ((result != 1 && result != -EADDRINUSE) || !is_tcp(sk))
		return 0;
	refusal_of(sk, &r);
	r.tuple.local_port = wanted;
	r.bind.listening = BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN;
	refuse_bind(sk, &r, HOOK_BIND);
	return 0;
}

#endif
