/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * filter.h - whose events are wanted. Each condition is tested as soon as its
 * value is known: the namespace at birth, the owner in process context, ports
 * and addresses when the tuple is complete.
 */
#ifndef BRINK_FILTER_H
#define BRINK_FILTER_H

#include "maps.h"

static __always_inline bool netns_wanted(__u32 netns)
{
	return !filter_by_netns || bpf_map_lookup_elem(&filter_netns, &netns);
}

/* True in process context only, like read_owner. */
static __always_inline bool in_wanted_cgroup(void)
{
	return filter_by_cgroup && bpf_current_task_under_cgroup(&filter_cgroup, 0) == 1;
}

static __always_inline bool owner_wanted(struct owner *o, __u8 flags)
{
	if (filter_pid && o->pid != filter_pid)
		return false;
	return !filter_by_cgroup || flags & ENDPOINT_IN_CGROUP;
}

/* A filter other than by namespace. */
static __always_inline bool filters(void)
{
	return filter_pid || filter_by_cgroup || filter_by_tuple;
}

static __always_inline bool address_wanted(const __u8 *address, __u16 family)
{
	struct cidr key = {.prefix_length = 128};

	if (family == AF_INET6) {
		__builtin_memcpy(key.address, address, 16);
	} else {
		key.address[10] = key.address[11] = 0xff;
		__builtin_memcpy(key.address + 12, address, 4);
	}
	return bpf_map_lookup_elem(&filter_cidr, &key);
}

static __always_inline bool ports_wanted(__u16 local, __u16 peer)
{
	return !filter_port || local == filter_port || peer == filter_port;
}

static __always_inline bool addresses_wanted(struct tuple *t)
{
	return !filter_by_cidr || address_wanted(t->local, t->family) || address_wanted(t->peer, t->family);
}

static __always_inline bool tuple_wanted(struct tuple *t)
{
	return ports_wanted(t->local_port, t->peer_port) && addresses_wanted(t);
}

#endif
