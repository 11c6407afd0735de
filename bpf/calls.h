/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * calls.h - from a call's entry to its return: what a program on entry leaves
 * for the one that sees only the result.
 */
#ifndef BRINK_CALLS_H
#define BRINK_CALLS_H

#include "emit.h"

/* Functions that nest inside one another on one task need keys of their own. */
enum {
	CALL_CONNECT4 = 1,
	CALL_CONNECT6,
	CALL_PORT_CHOICE,
	CALL_LISTEN,
	CALL_BIND,
	CALL_CHILD4,
	CALL_CHILD6,
	CALL_TIME_WAIT_ALLOC,
	CALL_TIME_WAIT_UNIQUE,
	CALL_CONN_REQUEST,
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

static __always_inline struct call this_call(__u64 hook)
{
	return (struct call){.task = bpf_get_current_pid_tgid(), .hook = hook};
}

static __always_inline int enter(__u64 hook, const void *first, const void *second, __u64 third)
{
	struct entered e = {.first = (__u64)first, .second = (__u64)second, .third = third};
	struct call key = this_call(hook);

	bpf_map_update_elem(&calls, &key, &e, BPF_ANY);
	return 0;
}

/* The arguments of the call that returns now; false if its entry was not seen. */
static __always_inline bool left(__u64 hook, struct entered *e)
{
	struct call key = this_call(hook);
	struct entered *seen = bpf_map_lookup_elem(&calls, &key);

	if (!seen)
		return false;
	*e = *seen;
	bpf_map_delete_elem(&calls, &key);
	return true;
}

/* A kretprobe fires only where its kprobe's function was entered after it was
 * attached, so an entry that is not there was missed. */
static __always_inline bool leave(__u64 hook, struct entered *e)
{
	if (left(hook, e))
		return true;
	add_one(&counts, COUNT_MISSED);
	return false;
}

#endif
