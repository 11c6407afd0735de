/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * calls.h - from a call's entry to its return: what a program on entry leaves
 * for the one that sees only the result.
 */
#ifndef BRINK_CALLS_H
#define BRINK_CALLS_H

#include "table.h"

/*
 * Functions that nest inside one another on one task need keys of their own. A
 * softirq that interrupts a task inside the same function takes its entry away:
 * that return then counts as missed.
 */
enum call_key {
	CALL_CONNECT4 = 1,
	CALL_CONNECT6,
	CALL_LISTEN,
	CALL_BIND,
	CALL_CHILD4,
	CALL_CHILD6,
	CALL_TIME_WAIT_ALLOC,
	CALL_TIME_WAIT_UNIQUE,
	CALL_UDP_BIND4,
	CALL_UDP_BIND6,
	CALL_AUTOBIND,
	CALL_CHECK_OOM,
	CALL_CONNTRACK_ALLOC,
	CALL_CONNTRACK_CONFIRM,
	CALL_SYS_CONNECT,
	CALL_SYS_BIND,
	CALL_SYS_LISTEN,
};

/* Not the task's number: the idle tasks of all CPUs, which softirqs run on top of,
 * share that. A task_struct's address has its lowest six bits free. */
static __always_inline __u64 this_call(enum call_key function)
{
	return bpf_get_current_task() | function;
}

static __always_inline struct call *place_of_call(__u64 key)
{
	__u32 index = scatter(key) & 1023;

	return bpf_map_lookup_elem(&calls, &index);
}

static __always_inline int enter(enum call_key function, const void *first, const void *second, __u64 third)
{
	struct entered e = {.first = (__u64)first, .second = (__u64)second, .third = third};
	__u64 key = this_call(function);
	struct call *c = place_of_call(key);

	if (c && (c->key == key || (!c->key && !__sync_val_compare_and_swap(&c->key, 0, key))))
		c->entered = e;
	else
		bpf_map_update_elem(&more_calls, &key, &e, BPF_ANY);
	return 0;
}

/* The arguments of a call under way, or NULL if its entry was not seen. */
static __always_inline struct entered *inside(enum call_key function)
{
	__u64 key = this_call(function);
	struct call *c = place_of_call(key);

	return c && c->key == key ? &c->entered : bpf_map_lookup_elem(&more_calls, &key);
}

/* The arguments of the call that returns now; false if its entry was not seen. */
static __always_inline bool left(enum call_key function, struct entered *e)
{
	__u64 key = this_call(function);
	struct call *c = place_of_call(key);
	struct entered *seen;

	if (c && c->key == key) {
		*e = c->entered;
		c->key = 0;
		return true;
	}
	seen = bpf_map_lookup_elem(&more_calls, &key);
	if (!seen)
		return false;
	*e = *seen;
	bpf_map_delete_elem(&more_calls, &key);
	return true;
}

static __always_inline int missed(void)
{
	add_one(&counts, COUNT_MISSED);
	return 0;
}

/* A kretprobe fires only where its kprobe's function was entered after it was
 * attached, so an entry that is not there was missed. */
static __always_inline bool leave(enum call_key function, struct entered *e)
{
	if (left(function, e))
		return true;
	missed();
	return false;
}

#endif
