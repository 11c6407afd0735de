/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * endpoint.h - one record per endpoint's life: born with its first state, kept
 * in the map `endpoints`, sent at its end.
 */
#ifndef BRINK_ENDPOINT_H
#define BRINK_ENDPOINT_H

#include "early.h"
#include "emit.h"
#include "failure.h"
#include "filter.h"
#include "ports.h"
#include "read.h"
#include "storm.h"
#include "table.h"
#include "tally.h"

static __always_inline void own(struct endpoint *e)
{
	read_owner(&e->owner);
	if (in_wanted_cgroup())
		e->flags |= ENDPOINT_IN_CGROUP;
}

/* Before the port is chosen: might it be the one that the filter wants? */
static __always_inline bool tuple_may_be_wanted(struct sock *sk, struct tuple *t)
{
	struct port_range range;

	if (!filter_port || t->local_port || t->peer_port == filter_port)
		return tuple_wanted(t);
	range = range_of(sk);
	return range.low <= filter_port && filter_port <= range.high;
}

/* A tally's times are CLOCK_MONOTONIC's, as the kernel's own in struct tcp_sock,
 * until a record leaves. */
static __always_inline __u64 now(void) { return tally ? bpf_ktime_get_ns() : bpf_ktime_get_boot_ns(); }

/* The destination is in the socket before SYN_SENT is; the local port comes
 * after it (tcp_v4_connect), so it is read again at ESTABLISHED. */
static __always_inline void born_client(struct sock *sk)
{
	struct endpoint e = {.role = ROLE_CLIENT};

	e.netns = netns_of(sk);
	if (!netns_wanted(e.netns) || !is_tcp(sk))
		return;
	read_tuple(sk, &e.tuple);
	if (!tuple_may_be_wanted(sk, &e.tuple))
		return;
	own(&e);
	if (!owner_wanted(&e.owner, e.flags))
		return;
	e.at[STAGE_SYN_SENT] = now();
	track(sk, &e);
}

static __always_inline void born_server(struct sock *sk)
{
	struct endpoint e = {.role = ROLE_SERVER};

	e.netns = netns_of(sk);
	if (!netns_wanted(e.netns) || !is_tcp(sk))
		return;
	e.at[STAGE_SYN_RECV] = now();
	track(sk, &e);
}

/*
 * A server is born when established where nobody asks for what was before: that
 * spares a tally an entry's first look-up, and where ports or addresses are filtered
 * the tuple is whole by then, so that there is none for what is left out. By then the
 * kernel has measured the handshake: from its SYN-ACK to the ACK
 * (tcp_synack_rtt_meas), which the child itself, made of that ACK, has not lived
 * through. 0 is unknown: the SYN-ACK was sent twice, or was a cookie.
 */
static __always_inline bool born_late(void) { return tally || filter_by_tuple; }

static __always_inline struct endpoint *born_established(struct sock *sk)
{
	struct endpoint e = {.role = ROLE_SERVER};
	__u64 handshake = (__u64)(READ((struct tcp_sock *)sk, srtt_us) >> 3) * 1000;
	struct endpoint *new;

	e.netns = netns_of(sk);
	if (!netns_wanted(e.netns) || !is_tcp(sk))
		return NULL;
	read_tuple(sk, &e.tuple);
	if (handshake)
		e.at[STAGE_SYN_RECV] = (tally ? segment_time(sk) : now()) - handshake;
	new = track(sk, &e) ?: endpoint_of(sk);
	if (new)
		take_early_owner(sk, new);
	return new;
}

static __always_inline void born_listener(struct sock *sk)
{
	struct endpoint e = {.role = ROLE_LISTENER};

	e.netns = netns_of(sk);
	if (!netns_wanted(e.netns) || !is_tcp(sk))
		return;
	own(&e);
	read_tuple(sk, &e.tuple);
	track(sk, &e);
}

static __always_inline bool endpoint_wanted(struct endpoint *e)
{
	return owner_wanted(&e->owner, e->flags) && tuple_wanted(&e->tuple);
}

/* Counts a failure; true if it gets a record. A connection that once stood always
 * does: only connects come in storms. */
static __always_inline bool failure_told(struct endpoint *e, __u8 failure, __u32 error)
{
	struct storm_key key = {.error = error, .netns = e->netns, .pid = e->owner.pid};

	add_one(&failures, failure);
	return e->at[STAGE_ESTABLISHED] || e->role != ROLE_CLIENT ||
	       told_by_itself(&key, &e->owner, failure);
}

/*
 * A connect that failed, or was given up while its SYN went unanswered; and a
 * connection that the kernel gave up. Resets of connections that stood are
 * everyday's. As isRefusal has it in collector/otlp.
 */
static __always_inline bool is_refusal(struct sock *sk, struct endpoint *e, __u8 failure)
{
	if (e->at[STAGE_ESTABLISHED])
		return failure && failure != FAILURE_RESET;
	if (e->role != ROLE_CLIENT)
		return false;
	return failure || (e->flags & ENDPOINT_ABANDONED && READ((struct tcp_sock *)sk, total_retrans));
}

static __always_inline void to_boot_time(struct endpoint *e, __u64 ahead)
{
	for (int i = 0; i < STAGE_COUNT; i++)
		if (e->at[i])
			e->at[i] += ahead;
}

static __always_inline void send_ended(struct sock *sk, struct endpoint *e, __u32 hook,
				       __u32 last_state, __u32 error)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	/* with a zero that the verifier does not know, or it would follow each kind of
	 * failure through all of what comes */
	__u8 failure = failure_of(sk, error, last_state) | e->pad[0];
	struct endpoint_ended *r;

	if (!endpoint_wanted(e))
		return;
	if (tally)
		tally_ended(sk, e, last_state, failure);
	if (failure && !failure_told(e, failure, error))
		return;
	if (tally && !(e->flags & ENDPOINT_SAMPLED) && !is_refusal(sk, e, failure))
		return;
	r = reserve(sizeof(*r), EVENT_ENDPOINT_ENDED, hook);
	if (!r)
		return;
	__builtin_memcpy(&r->endpoint, e, sizeof(*e));
	r->ended = bpf_ktime_get_boot_ns();
	if (tally)
		to_boot_time(&r->endpoint, r->ended - bpf_ktime_get_ns());
	r->cookie = READ(sk, __sk_common.skc_cookie.counter);
	r->bytes_sent = payload_sent(sk);
	r->bytes_received = payload_received(sk);
	r->retransmits = READ(tp, total_retrans);
	r->error = error;
	r->last_state = last_state;
	r->failure = failure;
	__builtin_memset(r->pad, 0, sizeof(r->pad));
	submit(r);
}

/* An end without a birth: the socket is older than brink, or the map was full
 * when it was born. User space may know it from sock_diag, by its cookie. */
static __always_inline void ended_unknown(struct sock *sk, int old_state, __u8 successor,
					  __u32 error)
{
	struct endpoint e = {.role = ROLE_UNKNOWN, .flags = ENDPOINT_PARTIAL};

	if (born_late() && old_state == TCP_SYN_RECV) {
		e.role = ROLE_SERVER;
		take_early_owner(sk, &e);
	}
	e.netns = netns_of(sk);
	if (old_state == TCP_SYN_SENT || filter_pid || filter_by_cgroup ||
	    !netns_wanted(e.netns) || !is_tcp(sk))
		return;
	read_tuple(sk, &e.tuple);
	e.flags |= successor;
	send_ended(sk, &e, HOOK_STATE, old_state, error);
}

/*
 * connect() that fails at once leaves SYN_SENT without an error on the socket;
 * the errno is the call's result, which the hook of its return will bring. A
 * socket shut down in SYN_SENT was closed by its own program.
 */
static __always_inline bool awaits_result(struct sock *sk, struct endpoint *e, __u32 error)
{
	if (error)
		return false;
	if (READ(sk, sk_shutdown) == SHUTDOWN_MASK) {
		e->flags |= ENDPOINT_ABANDONED;
		return false;
	}
	if (!connect_results)
		return false;
	e->flags |= ENDPOINT_AWAITS_RESULT;
	return true;
}

/* 0 for a socket that its program has closed. */
static __always_inline __u32 inode_of(struct sock *sk)
{
	struct file *file = READ(sk, sk_socket, file);

	return file ? READ(file, f_inode, i_ino) : 0;
}

/* close() of a socket that is no connection, never was or no longer. */
static __always_inline void closed(struct sock *sk)
{
	struct endpoint *e = endpoint_of(sk);

	if (!e)
		return;
	if (e->flags & ENDPOINT_AWAITS_RESULT)
		add_one(&counts, COUNT_MISSED);
	forget(sk);
}

/* successor: ENDPOINT_TIME_WAIT..., where a hook has not noted it before */
static __always_inline void ended(struct sock *sk, int old_state, __u8 successor)
{
	struct endpoint *e = endpoint_of(sk);
	__u32 error = READ(sk, sk_err);

	if (!e) {
		ended_unknown(sk, old_state, successor, error);
		return;
	}
	if (born_late() && e->role == ROLE_SERVER)
		take_early_owner(sk, e);
	if (old_state == TCP_SYN_SENT) {
		read_tuple(sk, &e->tuple);
		if (awaits_result(sk, e, error))
			return;
	}
	if (old_state == TCP_SYN_RECV)
		read_tuple(sk, &e->tuple);
	e->flags |= successor;
	send_ended(sk, e, HOOK_STATE, old_state, error);
	if (old_state == TCP_SYN_SENT && connect_by_syscall)
		e->told = inode_of(sk);
	if (!e->told)
		forget(sk);
}

#endif
