/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * timewait.h - the second life of a tuple.
 *
 *   tcp_time_wait -> inet_twsk_alloc   enter, or overflow where it gives NULL
 *   tcp_timewait_state_process         kind fin_wait_2 turns into time_wait
 *   tcp_twsk_unique returns 1          a connect() takes the tuple over
 *   ..._state_process returns TW_SYN   a new SYN takes the tuple over
 *   inet_twsk_kill                     the tuple is free: by timer or by those two
 */
#ifndef BRINK_TIMEWAIT_H
#define BRINK_TIMEWAIT_H

#include "refuse.h"
#include "successor.h"

static __always_inline void refuse_timewait(struct sock *sk, struct inet_timewait_death_row *dr)
{
	struct refused r = {};

	refusal_of(sk, &r);
	r.used = timewaits_of(dr);
	r.max = READ(dr, sysctl_max_tw_buckets);
	refuse_owner_of(sk, &r, HOOK_TIME_WAIT_ENTER, LIMIT_TIME_WAIT_BUCKETS, 0);
}

/* The real socket goes to CLOSE right after this, and its record says what
 * became of the tuple. A socket older than brink gets its entry here. */
static __always_inline struct endpoint *end_in(struct sock *sk, __u8 flag)
{
	struct endpoint fresh = {.role = ROLE_UNKNOWN, .flags = ENDPOINT_PARTIAL | flag};
	struct endpoint *e = endpoint_of(sk);

	if (e) {
		e->flags |= flag;
		return e;
	}
	fresh.netns = netns_of(sk);
	if (!netns_wanted(fresh.netns) || !is_tcp(sk))
		return NULL;
	read_tuple(sk, &fresh.tuple);
	if (!tuple_wanted(&fresh.tuple))
		return NULL;
	return track(sk, &fresh);
}

static __always_inline void sample_timewait(struct endpoint *e, struct inet_timewait_sock *tw)
{
	__u64 key = (__u64)tw;
	__u8 yes = 1;

	if (e && e->flags & ENDPOINT_SAMPLED)
		bpf_map_update_elem(&sampled_timewaits, &key, &yes, BPF_ANY);
}

static __always_inline int timewait_allocated(struct sock *sk, struct inet_timewait_death_row *dr,
					      int state, struct inet_timewait_sock *tw)
{
	struct endpoint *e;

	if (!tw) {
		end_in(sk, ENDPOINT_TIME_WAIT_OVERFLOW);
		refuse_timewait(sk, dr);
		return 0;
	}
	e = end_in(sk, state == TCP_FIN_WAIT2 ? ENDPOINT_TIME_WAIT_FIN_WAIT2 : ENDPOINT_TIME_WAIT);
	if (tally)
		sample_timewait(e, tw);
	return 0;
}

/* True if what happens to the timewait socket is told; it is summed up in any case. */
static __always_inline bool timewait_kept(struct inet_timewait_sock *tw, __u32 netns, __u32 event,
					  __u32 substate)
{
	__u64 key = (__u64)tw;
	bool kept;

	tally_time_wait(netns, event, substate);
	kept = bpf_map_lookup_elem(&sampled_timewaits, &key);
	if (kept && event != TIME_WAIT_ENTER)
		bpf_map_delete_elem(&sampled_timewaits, &key);
	return kept;
}

static __always_inline void send_time_wait(struct inet_timewait_sock *tw, __u32 hook, __u32 event)
{
	__u32 netns = READ(tw, __tw_common.skc_net.net, ns.inum);
	struct tuple t = {};
	struct time_wait *r;

	/* nobody owns a timewait socket, so a filter by owner excludes it */
	if (filter_pid || filter_by_cgroup || !netns_wanted(netns))
		return;
	read_timewait_tuple(tw, &t);
	if (!tuple_wanted(&t) || (tally && !timewait_kept(tw, netns, event, READ(tw, tw_substate))))
		return;
	r = reserve(sizeof(*r), EVENT_TIME_WAIT, hook);
	if (!r)
		return;
	r->tuple = t;
	r->at = bpf_ktime_get_boot_ns();
	r->netns = netns;
	r->event = event;
	r->substate = READ(tw, tw_substate);
	r->pad = 0;
	submit(r);
}

static __always_inline void mark_reused(struct inet_timewait_sock *tw, __u32 event)
{
	__u64 key = (__u64)tw;

	bpf_map_update_elem(&reused, &key, &event, BPF_ANY);
}

static __always_inline int timewait_unique(struct inet_timewait_sock *tw, int result)
{
	if (result)
		mark_reused(tw, TIME_WAIT_REUSE_CONNECT);
	return 0;
}

static __always_inline int segment_entered(struct inet_timewait_sock *tw)
{
	__u32 zero = 0;
	struct timewait_segment *s = bpf_map_lookup_elem(&timewait_segments, &zero);

	if (!s)
		return 0;
	s->tw = (__u64)tw;
	s->substate = READ(tw, tw_substate);
	return 0;
}

static __always_inline int segment_left(int result)
{
	__u32 zero = 0;
	struct timewait_segment *s = bpf_map_lookup_elem(&timewait_segments, &zero);
	struct inet_timewait_sock *tw;

	if (!s || !s->tw)
		return 0;
	tw = (struct inet_timewait_sock *)s->tw;
	s->tw = 0;
	if (result == TCP_TW_SYN)
		mark_reused(tw, TIME_WAIT_REUSE_SYN);
	else if (s->substate == TCP_FIN_WAIT2 && READ(tw, tw_substate) == TCP_TIME_WAIT)
		send_time_wait(tw, HOOK_TIME_WAIT_REUSE_SYN, TIME_WAIT_ENTER);
	return 0;
}

/* A mark holds only while the timer has not run out: TW_SYN without a listener
 * leaves the timewait socket where it is, to end by its timer later. */
static __always_inline bool timer_ran_out(struct inet_timewait_sock *tw)
{
	return (long)(bpf_jiffies64() - READ(tw, tw_timer.expires)) >= 0;
}

static __always_inline int timewait_killed(struct inet_timewait_sock *tw)
{
	__u64 key = (__u64)tw;
	__u32 *mark = bpf_map_lookup_elem(&reused, &key);
	__u32 event = TIME_WAIT_LEAVE;

	if (mark) {
		if (!timer_ran_out(tw))
			event = *mark;
		bpf_map_delete_elem(&reused, &key);
	}
	send_time_wait(tw, HOOK_TIME_WAIT_LEAVE, event);
	return 0;
}

#endif
