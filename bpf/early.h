/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * early.h - an owner that comes before its entry. A child is in the accept queue a
 * moment before it is ESTABLISHED (inet_csk_complete_hashdance, tcp_child_process), and
 * with Fast Open for a round trip. A task on another CPU may accept it by then; where it
 * is born late there is no entry yet, so that its owner is put here.
 */
#ifndef BRINK_EARLY_H
#define BRINK_EARLY_H

#include "filter.h"
#include "read.h"
#include "table.h"

static __always_inline __u32 *early_count(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&early, &zero);
}

/*
 * In the task's context. It stays when the entry turns out to have been made meanwhile:
 * what makes an entry writes it as a whole, over an owner that came too early, and looks
 * here afterwards. One of the two sees the other.
 */
static __always_inline void own_early(struct sock *sk)
{
	struct early_owner o = {};
	__u64 key = (__u64)sk;
	__u32 *n = early_count();
	struct endpoint *e;

	read_owner(&o.owner);
	if (in_wanted_cgroup())
		o.flags = ENDPOINT_IN_CGROUP;
	if (n && !bpf_map_update_elem(&early_owners, &key, &o, BPF_NOEXIST))
		__sync_fetch_and_add(n, 1);
	else /* of a socket that was here before, and ended unseen */
		bpf_map_update_elem(&early_owners, &key, &o, BPF_ANY);
	e = endpoint_of(sk);
	if (!e)
		return;
	e->owner = o.owner;
	e->flags |= o.flags;
}

static __always_inline void forget_early_owner(struct sock *sk)
{
	__u64 key = (__u64)sk;
	__u32 *n = early_count();

	if (n && *n && !bpf_map_delete_elem(&early_owners, &key))
		__sync_fetch_and_add(n, -1);
}

/* For an entry just made, and for what may be left when it goes. */
static __always_inline void take_early_owner(struct sock *sk, struct endpoint *e)
{
	__u64 key = (__u64)sk;
	__u32 *n = early_count();
	struct early_owner *o = n && *n ? bpf_map_lookup_elem(&early_owners, &key) : NULL;

	if (!o)
		return;
	e->owner = o->owner;
	e->flags |= o->flags;
	forget_early_owner(sk);
}

#endif
