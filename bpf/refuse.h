/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * refuse.h - the kernel said no: counted per limit, and told at once.
 */
#ifndef BRINK_REFUSE_H
#define BRINK_REFUSE_H

#include "endpoint.h"
#include "ports.h"
#include "storm.h"

/* Starts a refusal about a socket; the caller adds the rest to it. */
static __always_inline void refusal_of(struct sock *sk, struct refused *r)
{
	read_tuple(sk, &r->tuple);
	r->netns = netns_of(sk);
}

static __always_inline void refuse(struct refused *r, __u32 hook, __u32 limit, __u32 error,
				   __u8 flags)
{
	struct storm_key key = {.limit = limit, .error = error, .netns = r->netns, .pid = r->owner.pid};
	struct refused *out;

	if (!netns_wanted(r->netns) || !owner_wanted(&r->owner, flags) || !tuple_wanted(&r->tuple))
		return;
	add_one(&hits, limit);
	if (!told_by_itself(&key, &r->owner, FAILURE_NONE))
		return;
	out = reserve(sizeof(*out), EVENT_REFUSED, hook);
	if (!out)
		return;
	r->header = out->header;
	r->limit = limit;
	r->error = error;
	r->at = bpf_ktime_get_boot_ns();
	__builtin_memcpy(out, r, sizeof(*out));
	submit_now(out);
}

/* For refusals in the context of the task that is refused. */
static __always_inline void refuse_current(struct refused *r, __u32 hook, __u32 limit,
					   __u32 error)
{
	read_owner(&r->owner);
	refuse(r, hook, limit, error, in_wanted_cgroup() ? ENDPOINT_IN_CGROUP : 0);
}

/* No port left: the search went through all that it may choose from. */
static __always_inline void refuse_ports(struct sock *sk, struct refused *r, __u32 hook, __u32 error)
{
	r->range = range_of(sk);
	refuse_current(r, hook, LIMIT_EPHEMERAL_PORTS, error);
}

/* For refusals in a softirq: the owner is whoever was seen to own the socket. */
static __always_inline void refuse_owner_of(struct sock *sk, struct refused *r, __u32 hook,
					    __u32 limit, __u32 error)
{
	struct endpoint *e = endpoint_of(sk);
	__u8 flags = 0;

	if (e) {
		r->owner = e->owner;
		flags = e->flags;
	}
	refuse(r, hook, limit, error, flags);
}

#endif
