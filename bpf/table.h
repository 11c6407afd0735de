/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * table.h - endpoints by the address of their struct sock.
 *
 * An address has two places in the array `endpoints`, side by side. To look there
 * takes a few loads and no call: the verifier puts an array's lookup into the
 * program, and where the CPU's flaws make calls and returns dear, those are most
 * of what a hash costs. A place is taken with cmpxchg; what finds both taken goes
 * into the hash `more_endpoints`, which before 5.12 has all (no cmpxchg there).
 */
#ifndef BRINK_TABLE_H
#define BRINK_TABLE_H

#include "emit.h"

/* An address to calculate with: the verifier lets nobody do that with a pointer. Its
 * lower half alone is no pointer any more. */
static __always_inline __u32 lower_half(__u64 address)
{
	__u32 half;

	barrier_var(address); /* here, and not where the address came from */
	half = address;
	asm volatile("%0 = %0" : "+w"(half));
	return half;
}

/* 16 bits of it: Fibonacci hashing. */
static __always_inline __u32 scatter(__u64 address) { return lower_half(address) * 0x9e3779b1u >> 16; }

static __always_inline struct place *place_of(__u64 socket, __u32 which)
{
	__u32 index = (scatter(socket) & last_place) ^ which;

	return bpf_map_lookup_elem(&endpoints, &index);
}

/* Whether the hash has ever been needed. */
static __always_inline __u32 *overflow(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&overflowed, &zero);
}

static __always_inline struct endpoint *endpoint_of(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct place *place = place_of(key, 0);
	__u32 *more;

	if (place && place->socket == key)
		return &place->endpoint;
	place = place_of(key, 1);
	if (place && place->socket == key)
		return &place->endpoint;
	more = overflow();
	return more && *more ? bpf_map_lookup_elem(&more_endpoints, &key) : NULL;
}

static __always_inline void forget(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct place *place = place_of(key, 0);
	__u32 *more;

	if (!place || place->socket != key)
		place = place_of(key, 1);
	if (place && place->socket == key) {
		place->socket = 0;
		return;
	}
	more = overflow();
	if (more && *more)
		bpf_map_delete_elem(&more_endpoints, &key);
}

static __always_inline struct endpoint *take_place(__u64 socket, __u32 which)
{
	struct place *place = place_of(socket, which);

	if (place && !place->socket && !__sync_val_compare_and_swap(&place->socket, 0, socket))
		return &place->endpoint;
	return NULL;
}

/* The new entry, unless the hash has it. */
static __always_inline struct endpoint *track(struct sock *sk, struct endpoint *e)
{
	__u64 key = (__u64)sk;
	struct endpoint *old = endpoint_of(sk) ?: take_place(key, 0) ?: take_place(key, 1);
	__u32 *more = overflow();

	if (old) {
		__builtin_memcpy(old, e, sizeof(*e));
		return old;
	}
	if (more)
		*more = 1;
	if (bpf_map_update_elem(&more_endpoints, &key, e, BPF_ANY) && !second_look)
		add_one(&counts, COUNT_UNTRACKED);
	return NULL;
}

#endif
