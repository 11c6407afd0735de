/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * conntrack.h - packets of new connections that connection tracking drops: its
 * table is full, or the NAT found no free port and another entry has the tuple
 * that it was left with. A softirq's work, or a sender's: nobody's in any case.
 */
#ifndef BRINK_CONNTRACK_H
#define BRINK_CONNTRACK_H

#include "refuse.h"

static __always_inline void read_conntrack_tuple(struct nf_conntrack_tuple *from, struct tuple *t)
{
	struct nf_conntrack_tuple c = {};

	bpf_probe_read_kernel(&c, sizeof(c), from);
	__builtin_memcpy(t->local, c.source, 16);
	__builtin_memcpy(t->peer, c.destination, 16);
	t->local_port = bpf_ntohs(c.source_port);
	t->peer_port = bpf_ntohs(c.destination_port);
	t->family = c.family;
	t->protocol = c.protocol == IPPROTO_UDP ? IPPROTO_UDP : 0;
}

/* __nf_conntrack_alloc; what it knows of the maximum is read in user space */
static __always_inline int conntrack_allocated(struct net *net, struct nf_conntrack_tuple *original,
					       long result)
{
	struct refused r = {.outcome = OUTCOME_DROPPED};

	if (result != -ENOMEM)
		return 0;
	r.netns = BPF_CORE_READ(net, ns.inum);
	read_conntrack_tuple(original, &r.tuple);
	refuse(&r, HOOK_CONNTRACK_TABLE, LIMIT_CONNTRACK_TABLE, 0, 0);
	return 0;
}

/*
 * nf_nat_l4proto_unique_tuple gives no error when it finds no port: the last one
 * it tried stays, and __nf_conntrack_confirm drops the packet, because another
 * entry has that tuple. TCP entries with NAT are never merged, so the clash is
 * the exhaustion.
 */
static __always_inline int conntrack_confirmed(struct sk_buff *skb, int verdict)
{
	struct nf_conn *ct = (void *)(BPF_CORE_READ(skb, _nfct) & ~(unsigned long)NFCT_PTRMASK);
	struct refused r = {.outcome = OUTCOME_DROPPED};

	if (verdict != NF_DROP || !ct || !(BPF_CORE_READ(ct, status) & IPS_SRC_NAT))
		return 0;
	r.netns = BPF_CORE_READ(ct, ct_net.net, ns.inum);
	read_conntrack_tuple((void *)__builtin_preserve_access_index(&ct->tuplehash[0].tuple), &r.tuple);
	refuse(&r, HOOK_NAT_PORTS, LIMIT_NAT_PORTS, 0, 0);
	return 0;
}

#endif
