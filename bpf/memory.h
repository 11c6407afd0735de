/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * memory.h - net.ipv4.tcp_mem and tcp_max_orphans, which count for the host.
 *
 *   tcp_enter_memory_pressure   above tcp_mem[1]: buffers shrink from now on
 *   sock_exceed_buf_limit       an allocation refused (__sk_mem_raise_allocated)
 *   tcp_check_oom is true       a closed socket reset: too many orphans, or
 *                               above tcp_mem[2]
 */
#ifndef BRINK_MEMORY_H
#define BRINK_MEMORY_H

#include "refuse.h"

/* Since 6.0 (3cd3399dd7a8) each CPU keeps a reserve of its own, and the sum may
 * go below zero: memory charged on one CPU and given back on another. The kernel
 * takes that for zero (proto_memory_allocated). */
static __always_inline long pages_of(struct proto *prot)
{
	long pages = 0;

	bpf_probe_read_kernel(&pages, sizeof(pages), BPF_CORE_READ(prot, memory_allocated));
	return pages < 0 ? 0 : pages;
}

/* When pressure began, in jiffies; 0 while there is none. */
static __always_inline unsigned long pressure_of(struct proto *prot)
{
	unsigned long since = 0;

	bpf_probe_read_kernel(&since, sizeof(since), BPF_CORE_READ(prot, memory_pressure));
	return since;
}

/* tcp_mem has three: low, pressure, max */
static __always_inline long tcp_mem(struct proto *prot, int index)
{
	long *mem = BPF_CORE_READ(prot, sysctl_mem);
	long pages = 0;

	bpf_probe_read_kernel(&pages, sizeof(pages), mem + index);
	return pages;
}

static __always_inline void refuse_memory(struct sock *sk, struct proto *prot, int index, __u8 outcome)
{
	struct refused r = {.outcome = outcome};

	refusal_of(sk, &r);
	r.used = pages_of(prot);
	r.max = tcp_mem(prot, index);
	refuse_owner_of(sk, &r, HOOK_TCP_MEMORY, LIMIT_TCP_MEMORY, 0);
}

/* Called for every allocation under pressure; the first of them begins it. */
static __always_inline int pressure_entered(struct sock *sk)
{
	struct proto *prot = BPF_CORE_READ(sk, __sk_common.skc_prot);

	if (is_tcp(sk) && !pressure_of(prot))
		refuse_memory(sk, prot, 1, OUTCOME_PRESSURE);
	return 0;
}

/* The tracepoint also tells of a socket that passed its own buffer's size under
 * pressure, and of a memory cgroup that is full: not this limit. */
static __always_inline int buffer_refused(struct sock *sk, struct proto *prot)
{
	if (is_tcp(sk) && pages_of(prot) > tcp_mem(prot, 2))
		refuse_memory(sk, prot, 2, OUTCOME_DROPPED);
	return 0;
}

/* How many orphans there are user space reads: the kernel keeps them per CPU. */
static __always_inline void refuse_orphan(struct sock *sk)
{
	struct refused r = {.outcome = OUTCOME_RESET};

	refusal_of(sk, &r);
	refuse_owner_of(sk, &r, HOOK_ORPHANS, LIMIT_ORPHANS, 0);
}

static __always_inline int oom_checked(struct sock *sk, int too_many)
{
	struct proto *prot;

	if (!(too_many & 1))
		return 0;
	prot = READ(sk, __sk_common.skc_prot);
	if (pages_of(prot) > tcp_mem(prot, 2))
		refuse_memory(sk, prot, 2, OUTCOME_RESET);
	else
		refuse_orphan(sk);
	return 0;
}

#endif
