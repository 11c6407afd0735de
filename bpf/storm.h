/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * storm.h - a program that is refused and tries again at once does so a million
 * times a minute. Each refusal is counted, per limit and exactly; a record goes
 * out for the first ones of each second alone, per process and reason.
 */
#ifndef BRINK_STORM_H
#define BRINK_STORM_H

#include "emit.h"

#define TOLD_A_SECOND 100
#define SECOND	      1000000000ull

/* True if this refusal gets a record of its own. */
static __always_inline bool told_by_itself(struct storm_key *key, struct owner *owner, __u8 failure)
{
	struct storm *s = bpf_map_lookup_elem(&storms, key);
	__u64 now = bpf_ktime_get_boot_ns();
	struct storm first = {.second = now, .told = 1, .owner = *owner, .failure = failure};

	if (!s) {
		bpf_map_update_elem(&storms, key, &first, BPF_ANY);
		return true;
	}
	if (now - s->second > SECOND) {
		s->second = now;
		s->told = 0;
	}
	if (s->told < TOLD_A_SECOND) {
		__sync_fetch_and_add(&s->told, 1);
		return true;
	}
	__sync_fetch_and_add(&s->untold, 1);
	return false;
}

#endif
