/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * state.h - what a state change means to an endpoint.
 *
 *   CLOSE -> SYN_SENT    born as a client, in its owner's context
 *   LISTEN -> SYN_RECV   born as a server, in a softirq: owner unknown
 *   CLOSE -> LISTEN      kept as a listener
 *   any other state      its time is noted
 *   -> CLOSE             the record leaves and the entry goes
 *
 * tcp_set_state alone does not see the first steps of servers and listeners
 * (inet_csk_clone_lock and inet_csk_listen_start store the state themselves),
 * the tracepoint inet_sock_set_state does.
 */
#ifndef BRINK_STATE_H
#define BRINK_STATE_H

#include "timewait.h"

static __always_inline int stage_of(int state)
{
	switch (state) {
	case TCP_SYN_SENT:    return STAGE_SYN_SENT;
	case TCP_SYN_RECV:    return STAGE_SYN_RECV;
	case TCP_ESTABLISHED: return STAGE_ESTABLISHED;
	case TCP_FIN_WAIT1:   return STAGE_FIN_WAIT1;
	case TCP_FIN_WAIT2:   return STAGE_FIN_WAIT2;
	case TCP_CLOSE_WAIT:  return STAGE_CLOSE_WAIT;
	case TCP_LAST_ACK:    return STAGE_LAST_ACK;
	case TCP_CLOSING:     return STAGE_CLOSING;
	}
	return -1;
}

/* At ESTABLISHED each end has sent one sequence number, its SYN's, and had it
 * acknowledged: snd_una - 1 and rcv_nxt - 1 are the two initial ones. */
static __always_inline void established(struct sock *sk, struct endpoint *e)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	read_tuple(sk, &e->tuple);
	e->isn_local = READ(tp, snd_una) - 1;
	e->isn_peer = READ(tp, rcv_nxt) - 1;
	if (!tally || !endpoint_wanted(e))
		return;
	tally_opened(e);
	if (sampled(e->isn_local, e->isn_peer))
		e->flags |= ENDPOINT_SAMPLED;
}

/* A tally has no use for the later states of a connection without a record. */
static __always_inline bool stage_wanted(struct endpoint *e, int state)
{
	return !tally || state == TCP_ESTABLISHED || e->flags & ENDPOINT_SAMPLED;
}

/* A server without an entry of its own: what is left at its address is of a
 * socket that closed unseen, after a connect() that failed (see struct endpoint). */
static __always_inline bool unborn(struct endpoint *e, int old_state, int state)
{
	return born_late() && old_state == TCP_SYN_RECV && state == TCP_ESTABLISHED && (!e || e->told);
}

static __always_inline void reached(struct sock *sk, int old_state, int state)
{
	int stage = stage_of(state);
	struct endpoint *e;

	if (stage < 0)
		return;
	e = endpoint_of(sk);
	if (unborn(e, old_state, state))
		e = born_established(sk);
	if (!e || !stage_wanted(e, state))
		return;
	e->at[stage & 7] = tally && state == TCP_ESTABLISHED ? segment_time(sk) : now();
	if (state == TCP_ESTABLISHED)
		established(sk, e);
}

static __always_inline void stream_state(struct sock *sk, int old_state, int new_state)
{
	struct endpoint *e = endpoint_of(sk);
	struct state_changed *r;

	if (!e || !endpoint_wanted(e))
		return;
	r = reserve(sizeof(*r), EVENT_STATE_CHANGED, HOOK_STATE);
	if (!r)
		return;
	__builtin_memset(&r->tuple, 0, sizeof(r->tuple));
	read_tuple(sk, &r->tuple);
	r->owner = e->owner;
	r->at = bpf_ktime_get_boot_ns();
	r->socket = (__u64)sk;
	r->netns = e->netns;
	r->old_state = old_state;
	r->new_state = new_state;
	r->role = e->role;
	submit(r);
}

/* An entry that waits for ESTABLISHED is this child's own: an address is used
 * again only after the CLOSE that deletes its entry. */
static __always_inline bool just_born(struct sock *child)
{
	struct endpoint *e = endpoint_of(child);

	return e && e->role == ROLE_SERVER && !e->at[STAGE_ESTABLISHED];
}

/* inet_csk_clone_lock: the child is in SYN_RECV before anything else sees it, but
 * for the second look at the tracepoint. */
static __always_inline int child_born(struct sock *child)
{
	if (!born_late() && child && !just_born(child))
		born_server(child);
	return 0;
}

/* inet_csk_listen_start: 0 is success. */
static __always_inline int listening(struct sock *sk, int result)
{
	if (!result)
		born_listener(sk);
	return 0;
}

/* The port or the addresses are not wanted. The tuple is whole once SYN_SENT is over;
 * listeners are tracked all the same. */
static __always_inline bool filtered_out(struct sock *sk, int state)
{
	if (!filter_by_tuple || state == TCP_SYN_SENT || state == TCP_LISTEN)
		return false;
	if (!ports_wanted(local_port_of(sk), peer_port_of(&sk->__sk_common)))
		return true;
	if (filter_by_cidr) {
		struct tuple t = {};

		read_addresses(&sk->__sk_common, &t);
		return !addresses_wanted(&t);
	}
	return false;
}

/* A client may have been tracked while its port might have become a wanted one. */
static __always_inline bool left_out(struct sock *sk, int state)
{
	if (!filtered_out(sk, state))
		return false;
	if (state == TCP_ESTABLISHED || state == TCP_CLOSE) {
		forget(sk);
		forget_early_owner(sk);
	}
	return true;
}

static __always_inline void life_ends(struct sock *sk, int old_state)
{
	__u8 successor = successor_told(sk) ? 0 : successor_flags(sk, old_state);

	if (successor && time_wait_results)
		add_one(&counts, COUNT_RESCUED_TIME_WAIT);
	if (successor & ENDPOINT_TIME_WAIT_OVERFLOW)
		refuse_timewait(sk, death_row_of(sk));
	ended(sk, old_state, successor);
}

/*
 * For a hook with one program: while it is interrupted, by a softirq or where
 * tracing is preemptible by another task, it misses every state change on that
 * CPU, for the kernel lets no program recurse (bpf_prog->active). With interrupts
 * off there is nothing to miss. The kfuncs are of 6.14; before that misses are
 * counted. The tracepoint has two programs instead, which costs less.
 */
extern void bpf_local_irq_save(unsigned long *flags) __weak __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __weak __ksym;

static __always_inline int state_changed(struct sock *sk, int old_state, int new_state)
{
	if (left_out(sk, new_state))
		return 0;
	if (stream_states && new_state == TCP_CLOSE)
		stream_state(sk, old_state, new_state); /* while the entry is there */
	if (new_state == TCP_CLOSE && (old_state == TCP_CLOSE || old_state == TCP_LISTEN))
		closed(sk);
	else if (new_state == TCP_CLOSE)
		life_ends(sk, old_state);
	else if (new_state == TCP_SYN_SENT)
		born_client(sk);
	else if (new_state == TCP_SYN_RECV && old_state == TCP_LISTEN && !born_late())
		born_server(sk);
	else if (new_state == TCP_LISTEN)
		born_listener(sk);
	else
		reached(sk, old_state, new_state);
	if (stream_states && new_state != TCP_CLOSE)
		stream_state(sk, old_state, new_state);
	return 0;
}

static __always_inline int state_changes(struct sock *sk, int old_state, int new_state)
{
	bool can = bpf_local_irq_save;
	unsigned long flags;

	if (can)
		bpf_local_irq_save(&flags);
	barrier_var(can); /* else clang makes two copies of what follows */
	state_changed(sk, old_state, new_state);
	if (can)
		bpf_local_irq_restore(&flags);
	return 0;
}

static __always_inline bool is_birth(int old_state, int new_state)
{
	return new_state == TCP_SYN_SENT || (born_late() && old_state == TCP_SYN_RECV && new_state == TCP_ESTABLISHED);
}

/*
 * Whether the first look has seen a change, or does not want it: by what it left
 * behind, which needs no note of its own and is true wherever the task runs on.
 * An entry whose connect() failed stays until the call's result is known.
 */
static __always_inline bool was_seen(struct sock *sk, int old_state, int new_state)
{
	struct endpoint *e = endpoint_of(sk);
	int stage = stage_of(new_state);

	if (new_state == TCP_CLOSE)
		return !e || (old_state == TCP_SYN_SENT && (e->told || e->flags & ENDPOINT_AWAITS_RESULT));
	if (new_state == TCP_SYN_SENT)
		return filters() || (e && e->at[STAGE_SYN_SENT]) || !netns_wanted(netns_of(sk));
	if (unborn(e, old_state, new_state))
		return filtered_out(sk, new_state) || !netns_wanted(netns_of(sk));
	return !e || stage < 0 || !stage_wanted(e, new_state) || e->at[stage & 7];
}

/*
 * The second look at a change. The kernel skips a program while it is interrupted,
 * and while it runs any of a kprobe's, all of those. A raw tracepoint's is skipped by
 * its own interruption alone. Softirqs do not nest, so that no more than one of the
 * two is; where tasks preempt programs it may be both (7.2, once), and that is
 * counted. On the function rungs a child's birth has no look before this one.
 */
static __always_inline int state_changes_again(struct sock *sk, int old_state, int new_state)
{
	if (new_state == TCP_SYN_RECV && old_state == TCP_LISTEN)
		return child_born(sk);
	if (was_seen(sk, old_state, new_state))
		return 0;
	state_changes(sk, old_state, new_state);
	/* what is tracked by neither look was not missed */
	if (old_state != TCP_LISTEN && (!is_birth(old_state, new_state) || endpoint_of(sk)))
		add_one(&counts, COUNT_RESCUED);
	return 0;
}

#endif
