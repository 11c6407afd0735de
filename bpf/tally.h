/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tally.h - connections counted where they happen, for a reader who wants sums
 * and a few examples: no record leaves the kernel but for what was refused and
 * for those that the sampling keeps.
 */
#ifndef BRINK_TALLY_H
#define BRINK_TALLY_H

#include "emit.h"
#include "read.h"

/* Upper bounds of the buckets in ns, each bucket's own included; the last bucket
 * has none. User space gives them (tally.go). */
const volatile __u64 handshake_bounds[TALLY_BUCKETS - 1] = {};
const volatile __u64 lifetime_bounds[TALLY_BUCKETS - 1] = {};

/* Clang knows that it is, and would leave that out; the verifiers of 5.10 and 6.1 lose
 * it, with the first OR of two numbers that are not known. */
static __always_inline __u32 within(__u32 bucket)
{
	barrier_var(bucket);
	return bucket & (TALLY_BUCKETS - 1);
}

static __always_inline __u32 bucket_of(__u64 ns, const volatile __u64 *bounds)
{
	__u32 bucket = 0;

	/* without a branch, or the verifier would follow each bucket by itself: the
	 * difference's sign says whether ns is above the bound */
	#pragma unroll
	for (__u32 half = TALLY_BUCKETS / 2; half; half /= 2)
		bucket += half * (__u32)((bounds[within(bucket + half - 1)] - ns) >> 63);
	return within(bucket);
}

/* An IPv4 connection of an IPv6 socket is one of IPv4. */
static __always_inline __u8 family_of(struct tuple *t)
{
	__u64 *peer = (__u64 *)t->peer;

	if (t->family == AF_INET6 && !peer[0] && *(__u32 *)(t->peer + 8) == bpf_htonl(0xffff))
		return AF_INET;
	return t->family;
}

/* All zero: what a new key begins with. */
static const struct lives no_lives;

/* The sums of such endpoints; what the full map has no room for is counted for
 * namespace 0, whose keys user space has made beforehand. */
static __always_inline struct lives *lives_of(struct endpoint *e, __u8 failure)
{
	struct lives_key key = {
		.netns = e->netns, .role = e->role, .family = family_of(&e->tuple), .failure = failure,
	};
	struct lives *sums = bpf_map_lookup_elem(&tally_lives, &key);

	if (sums)
		return sums;
	bpf_map_update_elem(&tally_lives, &key, &no_lives, BPF_NOEXIST);
	sums = bpf_map_lookup_elem(&tally_lives, &key); /* or another CPU's */
	if (sums)
		return sums;
	key.netns = 0;
	return bpf_map_lookup_elem(&tally_lives, &key);
}

/* Atomic, and the map per CPU: see add_one. */
static __always_inline void add(__u64 *sum, __u64 n)
{
	if (n)
		__sync_fetch_and_add(sum, n);
}

static __always_inline void tally_opened(struct endpoint *e)
{
	struct lives *sums = lives_of(e, FAILURE_NONE);
	__u64 born = e->at[STAGE_SYN_SENT] ?: e->at[STAGE_SYN_RECV];
	__u64 took = e->at[STAGE_ESTABLISHED] - born;

	if (!sums)
		return;
	add(&sums->opened, 1);
	if (!born)
		return;
	add(&sums->handshake_ns, took);
	add(&sums->handshake[bucket_of(took, handshake_bounds)], 1);
}

static __always_inline void tally_time_wait(__u32 netns, __u8 event, __u8 substate)
{
	struct time_waits_key key = {.netns = netns, .event = event, .substate = substate};
	__u64 *n = bpf_map_lookup_elem(&tally_time_waits, &key);
	__u64 none = 0;

	if (!n) {
		bpf_map_update_elem(&tally_time_waits, &key, &none, BPF_NOEXIST);
		n = bpf_map_lookup_elem(&tally_time_waits, &key);
	}
	if (!n) {
		key.netns = 0;
		n = bpf_map_lookup_elem(&tally_time_waits, &key);
	}
	if (n)
		add(n, 1);
}

static __always_inline void tally_successor(struct lives *sums, __u8 flags)
{
	if (flags & ENDPOINT_TIME_WAIT_OVERFLOW)
		add(&sums->overflows, 1);
	else if (flags & ENDPOINT_TIME_WAIT_FIN_WAIT2)
		add(&sums->orphans, 1);
	else if (flags & ENDPOINT_TIME_WAIT)
		add(&sums->time_waits, 1);
}

/* Of an end that a segment or a timer brings, that has the time. */
static __always_inline __u64 end_time(struct sock *sk, __u32 last_state)
{
	bool fin = READ(sk, __sk_common.skc_flags) & SOCK_DONE;

	if (last_state == TCP_LAST_ACK || last_state == TCP_CLOSING || (last_state == TCP_FIN_WAIT2 && fin))
		return segment_time(sk);
	return bpf_ktime_get_ns();
}

/* Lifetimes are those of connections that stood. */
static __always_inline void tally_ended(struct sock *sk, struct endpoint *e, __u32 last_state,
					__u8 failure)
{
	struct lives *sums = lives_of(e, failure);
	__u64 lasted;

	if (!sums)
		return;
	tally_successor(sums, e->flags);
	add(&sums->ended, 1);
	if (!e->at[STAGE_ESTABLISHED])
		return;
	lasted = end_time(sk, last_state) - e->at[STAGE_ESTABLISHED];
	add(&sums->bytes_sent, payload_sent(sk));
	add(&sums->bytes_received, payload_received(sk));
	add(&sums->retransmits, READ((struct tcp_sock *)sk, total_retrans));
	add(&sums->lifetime_ns, lasted);
	add(&sums->lifetime[bucket_of(lasted, lifetime_bounds)], 1);
}

/*
 * The two initial sequence numbers, mixed alike at both ends and on both hosts;
 * the last 8 bytes of the trace ID that user space gives the connection (Mixed in
 * collector/otlp). OpenTelemetry's TraceIDRatioBased keeps those whose upper 63
 * bits are below the ratio's share of 2^63. The mixing is SplitMix64's.
 */
static __always_inline bool sampled(__u32 a, __u32 b)
{
	__u64 x = a < b ? (__u64)a << 32 | b : (__u64)b << 32 | a;

	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	x ^= x >> 31;
	return x >> 1 < sample_below;
}

#endif
