/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * emit.h - the way out: counters and the ring buffer. A record that finds no
 * room is counted, never silently dropped.
 */
#ifndef BRINK_EMIT_H
#define BRINK_EMIT_H

#include "maps.h"

/* Wake the reader at once only when a quarter of the ring waits for it; in
 * between it looks by itself, a few times a second. */
#define WAKE_UP_BYTES (4 * 1024 * 1024)

static __always_inline void add_one(void *map, __u32 key)
{
	__u64 *n = bpf_map_lookup_elem(map, &key);

	/* per CPU, and still atomic: a softirq in the middle of a plain += would have
	 * all of its own counts forgotten */
	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline __u64 wake_up(void)
{
	if (bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > WAKE_UP_BYTES)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

static __always_inline void *reserve(__u64 size, __u32 kind, __u32 hook)
{
	struct event_header *header = bpf_ringbuf_reserve(&events, size, 0);

	if (!header) {
		add_one(&counts, COUNT_LOST);
		return NULL;
	}
	header->kind = kind;
	header->hook = hook;
	return header;
}

static __always_inline void submit(void *record)
{
	add_one(&counts, COUNT_EMITTED);
	bpf_ringbuf_submit(record, wake_up());
}

/* For what cannot wait: who is in the way is looked up while it still is. */
static __always_inline void submit_now(void *record)
{
	add_one(&counts, COUNT_EMITTED);
	bpf_ringbuf_submit(record, BPF_RB_FORCE_WAKEUP);
}

#endif
