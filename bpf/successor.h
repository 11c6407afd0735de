/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * successor.h - which timewait socket, if any, has taken over the tuple of a
 * socket that goes from FIN_WAIT2 or CLOSING to CLOSE. Where inet_twsk_alloc is
 * hooked it has said so. Where it is not, or the kernel skipped the hook, the
 * table of connections tells: the timewait socket is in its predecessor's chain
 * (inet_twsk_hashdance) before the change is.
 */
#ifndef BRINK_SUCCESSOR_H
#define BRINK_SUCCESSOR_H

#include "filter.h"
#include "read.h"

/* A chain of the default table holds one or two; one longer than this is not
 * searched to its end. */
#define CHAIN_LENGTH 32

/* So many timewait sockets do not end between inet_twsk_alloc's look at their
 * number and this one's. */
#define MARGIN 1024

static __always_inline bool succeeds(struct sock_common *tw, struct sock_common *was)
{
	return READ(tw, skc_hash) == READ(was, skc_hash) &&
	       READ(tw, skc_state) == TCP_TIME_WAIT &&
	       READ(tw, skc_dport) == READ(was, skc_dport) &&
	       READ(tw, skc_net.net) == READ(was, skc_net.net) &&
	       READ(tw, skc_daddr) == READ(was, skc_daddr) &&
	       READ(tw, skc_rcv_saddr) == READ(was, skc_rcv_saddr);
}

static __always_inline struct hlist_nulls_node *chain_of(struct inet_hashinfo *table, __u32 hash)
{
	struct inet_ehash_bucket *bucket = READ(table, ehash);
	struct hlist_nulls_node *first = NULL;

	/* a bucket is its chain's head and nothing else */
	bpf_probe_read_kernel(&first, sizeof(first),
			      (void **)bucket + (hash & READ(table, ehash_mask)));
	return first;
}

static __always_inline bool is_end(struct hlist_nulls_node *node) { return (unsigned long)node & 1; }

/* The timewait socket, or NULL. */
static __always_inline struct sock_common *successor(struct sock_common *was, struct inet_hashinfo *table)
{
	struct hlist_nulls_node *node = chain_of(table, READ(was, skc_hash));
	unsigned long offset = bpf_core_field_offset(struct sock_common, skc_nulls_node);

	for (int i = 0; i < CHAIN_LENGTH; i++) {
		struct sock_common *skc = (void *)node - offset;

		if (!node || is_end(node))
			break;
		if (succeeds(skc, was))
			return skc;
		node = BPF_CORE_READ(node, next); /* a number: is_end looks at its lowest bit */
	}
	return NULL;
}

static __always_inline __u32 timewaits_of(struct inet_timewait_death_row *row)
{
	if (bpf_core_field_exists(struct inet_timewait_death_row, tw_refcount))
		return READ(row, tw_refcount.refs.counter) - 1;
	return READ(row, tw_count.counter);
}

/* Without the table: the peer's FIN sets SOCK_DONE (tcp_fin), so with it a
 * TIME_WAIT begins; without it an orphan in FIN_WAIT2 lives on. */
static __always_inline __u8 successor_by_flags(struct sock *sk, int old_state)
{
	unsigned long flags = READ(sk, __sk_common.skc_flags);

	if (flags & SOCK_DONE)
		return ENDPOINT_TIME_WAIT;
	if (old_state == TCP_FIN_WAIT2 && flags & SOCK_DEAD)
		return ENDPOINT_TIME_WAIT_FIN_WAIT2;
	return 0;
}

static __always_inline struct inet_timewait_death_row *death_row_of(struct sock *sk)
{
	struct net *net = READ(sk, __sk_common.skc_net.net);

	return __builtin_preserve_access_index(&net->ipv4.tcp_death_row);
}

/* inet_twsk_alloc's hook, if there is one, has told of the successor, or that
 * none can be had. */
static __always_inline bool successor_told(struct sock *sk)
{
	struct endpoint *e = time_wait_results ? endpoint_of(sk) : NULL;

	return e && e->flags & (ENDPOINT_TIME_WAIT | ENDPOINT_TIME_WAIT_FIN_WAIT2 | ENDPOINT_TIME_WAIT_OVERFLOW);
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

	if (old_state != TCP_FIN_WAIT2 && old_state != TCP_CLOSING)
		return 0;
	likely = successor_by_flags(sk, old_state);
	if (!likely || READ(sk, sk_err) || !netns_wanted(netns_of(sk)))
		return 0;
	if (!bpf_core_field_exists(struct netns_ipv4, tcp_death_row.sysctl_max_tw_buckets))
		return time_wait_results ? 0 : likely; /* 5.18 to 6.0: it is elsewhere */
	row = death_row_of(sk);
	if (likely == ENDPOINT_TIME_WAIT && timewaits_of(row) + MARGIN < READ(row, sysctl_max_tw_buckets))
		return likely; /* nothing that could have refused it */
	if (successor(&sk->__sk_common, READ(row, hashinfo)))
		return likely;
	if (timewaits_of(row) >= READ(row, sysctl_max_tw_buckets))
		return ENDPOINT_TIME_WAIT_OVERFLOW;
	return 0;
}

#endif
