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
	e->isn_local = BPF_CORE_READ(tp, snd_una) - 1;
	e->isn_peer = BPF_CORE_READ(tp, rcv_nxt) - 1;
	if (!tally || !endpoint_wanted(e))
		return;
	tally_opened(e, e->at[STAGE_SYN_SENT] ?: e->at[STAGE_SYN_RECV]);
	if (sampled(e->isn_local, e->isn_peer))
		e->flags |= ENDPOINT_SAMPLED;
}

static __always_inline void reached(struct sock *sk, int state)
{
	struct endpoint *e = endpoint_of(sk);
	int stage = stage_of(state);

	if (!e || stage < 0)
		return;
	e->at[stage & 7] = bpf_ktime_get_boot_ns();
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

/* inet_csk_clone_lock: the child is in SYN_RECV before anything else sees it. */
static __always_inline int child_born(struct sock *child)
{
	if (child)
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

static __always_inline void life_ends(struct sock *sk, int old_state)
{
	__u8 successor = successor_flags(sk, old_state);

	if (successor & ENDPOINT_TIME_WAIT_OVERFLOW)
		refuse_timewait(sk, death_row_of(sk));
	ended(sk, old_state, successor);
}

/*
 * A program that is interrupted, by a softirq or where tracing is preemptible by
 * another task, misses every state change on that CPU until it is done: the
 * kernel lets no program recurse (bpf_prog->active). With interrupts off there
 * is nothing to miss. The kfuncs are of 6.14; before that misses are counted.
 */
extern void bpf_local_irq_save(unsigned long *flags) __weak __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __weak __ksym;

static __always_inline void state_changed(struct sock *sk, int old_state, int new_state)
{
	if (stream_states && new_state == TCP_CLOSE)
		stream_state(sk, old_state, new_state); /* while the entry is there */
	if (new_state == TCP_CLOSE && (old_state == TCP_CLOSE || old_state == TCP_LISTEN))
		closed(sk);
	else if (new_state == TCP_CLOSE)
		life_ends(sk, old_state);
	else if (new_state == TCP_SYN_SENT)
		born_client(sk);
	else if (new_state == TCP_SYN_RECV && old_state == TCP_LISTEN)
		born_server(sk);
	else if (new_state == TCP_LISTEN)
		born_listener(sk);
	else
		reached(sk, new_state);
	if (stream_states && new_state != TCP_CLOSE)
		stream_state(sk, old_state, new_state);
}

static __always_inline int state_changes(struct sock *sk, int old_state, int new_state)
{
	unsigned long flags;

	if (!bpf_local_irq_save) {
		state_changed(sk, old_state, new_state);
		return 0;
	}
	bpf_local_irq_save(&flags);
	state_changed(sk, old_state, new_state);
	bpf_local_irq_restore(&flags);
	return 0;
}

/* The first free place, or the first of all where none is free: what stays there
 * belongs to a change during which the second program was interrupted itself. */
static __always_inline void note_seen(struct sock *sk, __u32 state)
{
	__u32 zero = 0;
	struct seen_changes *seen = bpf_map_lookup_elem(&seen_changes, &zero);
	struct seen_change *place;

	if (!seen)
		return;
	place = &seen->change[0];
	for (int i = 3; i >= 0; i--)
		if (!seen->change[i].socket)
			place = &seen->change[i];
	place->state = state;
	place->socket = (__u64)sk;
}

static __always_inline bool take_seen(struct sock *sk, __u32 state)
{
	__u32 zero = 0;
	struct seen_changes *seen = bpf_map_lookup_elem(&seen_changes, &zero);

	if (!seen)
		return true;
	for (int i = 0; i < 4; i++) {
		struct seen_change *change = &seen->change[i];

		if (change->socket == (__u64)sk && change->state == state) {
			change->socket = 0;
			return true;
		}
	}
	return false;
}

#endif
