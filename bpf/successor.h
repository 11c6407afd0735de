/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * successor.h - which timewait socket, if any, has taken over the tuple of a
 * socket that goes from FIN_WAIT2 or CLOSING to CLOSE. Where inet_twsk_alloc is
 * hooked it has said so. Else the table of connections tells: the timewait socket
 * is in its predecessor's chain (inet_twsk_hashdance), before the tracepoint.
 */
#ifndef BRINK_SUCCESSOR_H
#define BRINK_SUCCESSOR_H

#include "filter.h"
#include "read.h"

/* A chain of the default table holds one or two; one longer than this is not
 * searched to its end. */
#define CHAIN_LENGTH 64

static __always_inline bool succeeds(struct sock_common *tw, struct sock_common *was)
{
	return BPF_CORE_READ(tw, skc_hash) == BPF_CORE_READ(was, skc_hash) &&
	       BPF_CORE_READ(tw, skc_state) == TCP_TIME_WAIT &&
	       BPF_CORE_READ(tw, skc_dport) == BPF_CORE_READ(was, skc_dport) &&
	       BPF_CORE_READ(tw, skc_net.net) == BPF_CORE_READ(was, skc_net.net) &&
	       BPF_CORE_READ(tw, skc_daddr) == BPF_CORE_READ(was, skc_daddr) &&
	       BPF_CORE_READ(tw, skc_rcv_saddr) == BPF_CORE_READ(was, skc_rcv_saddr);
}

static __always_inline struct hlist_nulls_node *chain_of(struct inet_hashinfo *table, __u32 hash)
{
	struct inet_ehash_bucket *bucket = BPF_CORE_READ(table, ehash);
	struct hlist_nulls_node *first = NULL;

	/* a bucket is its chain's head and nothing else */
	bpf_probe_read_kernel(&first, sizeof(first),
			      (void **)bucket + (hash & BPF_CORE_READ(table, ehash_mask)));
	return first;
}

static __always_inline bool is_end(struct hlist_nulls_node *node) { return (unsigned long)node & 1; }

/* The timewait socket, or NULL. */
static __always_inline struct sock_common *successor(struct sock_common *was, struct inet_hashinfo *table)
{
	struct hlist_nulls_node *node = chain_of(table, BPF_CORE_READ(was, skc_hash));
	unsigned long offset = bpf_core_field_offset(struct sock_common, skc_nulls_node);

	for (int i = 0; i < CHAIN_LENGTH; i++) {
		struct sock_common *skc = (void *)node - offset;

		if (!node || is_end(node))
			break;
		if (succeeds(skc, was))
			return skc;
		node = BPF_CORE_READ(node, next);
	}
	return NULL;
}

static __always_inline __u32 timewaits_of(struct inet_timewait_death_row *row)
{
	if (bpf_core_field_exists(struct inet_timewait_death_row, tw_refcount))
		return BPF_CORE_READ(row, tw_refcount.refs.counter) - 1;
	return BPF_CORE_READ(row, tw_count.counter);
}

/* Without the table: the peer's FIN sets SOCK_DONE (tcp_fin), so with it a
 * TIME_WAIT begins; without it an orphan in FIN_WAIT2 lives on. */
static __always_inline __u8 successor_by_flags(struct sock *sk, int old_state)
{
	unsigned long flags = BPF_CORE_READ(sk, __sk_common.skc_flags);

	if (flags & SOCK_DONE)
		return ENDPOINT_TIME_WAIT;
	if (old_state == TCP_FIN_WAIT2 && flags & SOCK_DEAD)
		return ENDPOINT_TIME_WAIT_FIN_WAIT2;
	return 0;
}

static __always_inline struct inet_timewait_death_row *death_row_of(struct sock *sk)
{
	struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);

	return __builtin_preserve_access_index(&net->ipv4.tcp_death_row);
}

/*
 * ENDPOINT_TIME_WAIT..., or 0 if the tuple is free. An error means a reset, and
 * nothing lives on. Neither does anything after an orphan was reset for want of
 * memory (tcp_check_oom) or by TCP_LINGER2, which leave no error.
 */
static __always_inline __u8 successor_flags(struct sock *sk, int old_state)
{
	struct inet_timewait_death_row *row;
	__u8 likely;

	if (time_wait_results || (old_state != TCP_FIN_WAIT2 && old_state != TCP_CLOSING))
		return 0;
	likely = successor_by_flags(sk, old_state);
	if (!likely || BPF_CORE_READ(sk, sk_err) || !netns_wanted(netns_of(sk)))
		return 0;
	if (!bpf_core_field_exists(struct netns_ipv4, tcp_death_row.sysctl_max_tw_buckets))
		return likely; /* 5.18 to 6.0: it is elsewhere */
	row = death_row_of(sk);
	if (successor(&sk->__sk_common, BPF_CORE_READ(row, hashinfo)))
		return likely;
	if (timewaits_of(row) >= BPF_CORE_READ(row, sysctl_max_tw_buckets))
		return ENDPOINT_TIME_WAIT_OVERFLOW;
	return 0;
}

#endif
