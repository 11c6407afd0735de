/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * queue.h - a listener whose accept queue is full.
 *
 * sk_acceptq_is_full: more than backlog connections wait, so backlog + 1 fit.
 * The kernel looks twice: when the SYN arrives (tcp_conn_request) and when the
 * last ACK of the handshake does (tcp_v4_syn_recv_sock, tcp_v6_syn_recv_sock).
 */
#ifndef BRINK_QUEUE_H
#define BRINK_QUEUE_H

#include "refuse.h"

static __always_inline void read_sender(struct sk_buff *skb, struct tuple *t)
{
	unsigned char *head = BPF_CORE_READ(skb, head);
	unsigned char *ip = head + BPF_CORE_READ(skb, network_header);
	unsigned char *tcp = head + BPF_CORE_READ(skb, transport_header);
	__u8 version = 0;
	__u16 port = 0;

	bpf_probe_read_kernel(&version, sizeof(version), ip);
	if (version >> 4 == 6) {
		bpf_probe_read_kernel(t->peer, 16, ip + 8); /* struct ipv6hdr.saddr */
	} else if (t->family == AF_INET) {
		bpf_probe_read_kernel(t->peer, 4, ip + 12); /* struct iphdr.saddr */
	} else {
		t->peer[10] = t->peer[11] = 0xff;
		bpf_probe_read_kernel(t->peer + 12, 4, ip + 12);
	}
	bpf_probe_read_kernel(&port, sizeof(port), tcp);
	t->peer_port = bpf_ntohs(port);
}

static __always_inline int refuse_if_full(struct sock *listener, struct sk_buff *skb)
{
	__u32 waiting = BPF_CORE_READ(listener, sk_ack_backlog);
	__u32 backlog = BPF_CORE_READ(listener, sk_max_ack_backlog);
	struct refused r = {.role = ROLE_SERVER};

	if (waiting <= backlog)
		return 0;
	refusal_of(listener, &r);
	read_sender(skb, &r.tuple);
	r.used = waiting;
	r.max = (__u64)backlog + 1;
	refuse_owner_of(listener, &r, HOOK_ACCEPT_QUEUE, LIMIT_ACCEPT_QUEUE, 0);
	return 0;
}

static __always_inline int connection_requested(struct sock *listener, struct sk_buff *skb)
{
	return refuse_if_full(listener, skb);
}

static __always_inline int child_created(struct sock *listener, struct sk_buff *skb,
					 struct sock *child)
{
	return child ? 0 : refuse_if_full(listener, skb);
}

/* tcp_v6_syn_recv_sock hands IPv4 segments to tcp_v4_syn_recv_sock: told once,
 * by the outer function. */
static __always_inline int child4_created(struct sock *listener, struct sk_buff *skb,
					  struct sock *child)
{
	if (BPF_CORE_READ(listener, __sk_common.skc_family) == AF_INET6)
		return 0;
	return child_created(listener, skb, child);
}

#endif
