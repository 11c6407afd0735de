/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * queue.h - a listener whose queues are full: of connections that wait for
 * accept(), and of handshakes that wait for their last ACK.
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

static __always_inline void refuse_connection(struct sock *listener, struct sk_buff *skb, __u32 waiting)
{
	struct refused r = {.role = ROLE_SERVER, .outcome = OUTCOME_DROPPED};

	refusal_of(listener, &r);
	read_sender(skb, &r.tuple);
	r.used = waiting;
	r.max = (__u64)READ(listener, sk_max_ack_backlog) + 1;
	refuse_owner_of(listener, &r, HOOK_ACCEPT_QUEUE, LIMIT_ACCEPT_QUEUE, 0);
}

/* The last ACK of a handshake made no socket: the queue may be full by now. */
static __always_inline int child_created(struct sock *listener, struct sk_buff *skb,
					 struct sock *child)
{
	__u32 waiting;

	if (child)
		return 0;
	waiting = READ(listener, sk_ack_backlog);
	if (waiting > READ(listener, sk_max_ack_backlog))
		refuse_connection(listener, skb, waiting);
	return 0;
}

/* tcp_v6_syn_recv_sock hands IPv4 segments to tcp_v4_syn_recv_sock: told once,
 * by the outer function. */
static __always_inline int child4_created(struct sock *listener, struct sk_buff *skb,
					  struct sock *child)
{
	if (child || READ(listener, __sk_common.skc_family) == AF_INET6)
		return 0;
	return child_created(listener, skb, child);
}

static __always_inline __u32 requests_of(struct sock *listener)
{
	return READ((struct inet_connection_sock *)listener, icsk_accept_queue.qlen.counter);
}

static __always_inline int syn_entered(struct sock *listener, struct sk_buff *skb)
{
	__u32 zero = 0;
	struct syn_segment *s = bpf_map_lookup_elem(&syn_segments, &zero);

	if (!s)
		return 0;
	s->listener = (__u64)listener;
	s->skb = (__u64)skb;
	s->requests = requests_of(listener);
	s->waiting = READ(listener, sk_ack_backlog);
	return 0;
}

static __always_inline void refuse_request(struct sock *listener, struct sk_buff *skb, __u32 requests,
					   __u32 max, bool cookie)
{
	struct refused r = {.role = ROLE_SERVER};

	r.outcome = cookie ? OUTCOME_SYN_COOKIE : OUTCOME_DROPPED;
	refusal_of(listener, &r);
	read_sender(skb, &r.tuple);
	r.used = requests;
	r.max = max;
	refuse_owner_of(listener, &r, HOOK_SYN_QUEUE, LIMIT_SYN_QUEUE, 0);
}

/*
 * tcp_conn_request, when it returns: what was full before, and added no request,
 * refused it. inet_csk_reqsk_queue_is_full compared with >= for years and does
 * with > now, in stable series too, which the outcome tells as well. Without SYN
 * cookies the last quarter of tcp_max_syn_backlog is kept for peers known to be
 * alive (tcp_peer_is_proven).
 */
static __always_inline int syn_left(void)
{
	__u32 zero = 0, backlog, max_syn_backlog;
	struct syn_segment *s = bpf_map_lookup_elem(&syn_segments, &zero);
	struct sock *listener;
	struct sk_buff *skb;
	struct net *net;
	bool cookies;

	if (!s || !s->listener)
		return 0;
	listener = (struct sock *)s->listener;
	skb = (struct sk_buff *)s->skb;
	s->listener = 0;
	if (requests_of(listener) > s->requests)
		return 0;
	net = READ(listener, __sk_common.skc_net.net);
	backlog = READ(listener, sk_max_ack_backlog);
	max_syn_backlog = READ(net, ipv4.sysctl_max_syn_backlog);
	cookies = READ(net, ipv4.sysctl_tcp_syncookies);
	if (s->waiting > backlog)
		refuse_connection(listener, skb, s->waiting);
	else if (s->requests >= backlog)
		refuse_request(listener, skb, s->requests, backlog, cookies);
	else if (!cookies && (int)(max_syn_backlog - s->requests) < (int)(max_syn_backlog >> 2))
		refuse_request(listener, skb, s->requests, max_syn_backlog - (max_syn_backlog >> 2), false);
	return 0;
}

#endif
