/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * kprobe.h - the second rung: kprobe and kretprobe, for kernels without
 * trampolines. A kretprobe sees the result alone, so its kprobe leaves the
 * arguments in the map `calls`.
 */
#ifndef BRINK_KPROBE_H
#define BRINK_KPROBE_H

#include "calls.h"

SEC("kprobe/tcp_set_state")
int BPF_KPROBE(kprobe_tcp_set_state, struct sock *sk, int state)
{
	return state_changes(sk, READ(sk, __sk_common.skc_state), state);
}

SEC("kretprobe/inet_csk_clone_lock")
int BPF_KRETPROBE(kretprobe_inet_csk_clone_lock, struct sock *child)
{
	return child_born(child);
}

SEC("kprobe/inet_csk_listen_start")
int BPF_KPROBE(kprobe_inet_csk_listen_start, struct sock *sk)
{
	return enter(CALL_LISTEN, sk, NULL, 0);
}

SEC("kretprobe/inet_csk_listen_start")
int BPF_KRETPROBE(kretprobe_inet_csk_listen_start, long result)
{
	struct entered e;

	return leave(CALL_LISTEN, &e) ? listening((struct sock *)e.first, result) : 0;
}

SEC("kprobe/tcp_v4_connect")
int BPF_KPROBE(kprobe_tcp_v4_connect, struct sock *sk, void *address)
{
	return enter(CALL_CONNECT4, sk, address, 0);
}

SEC("kretprobe/tcp_v4_connect")
int BPF_KRETPROBE(kretprobe_tcp_v4_connect, int result)
{
	struct entered e;

	if (!leave(CALL_CONNECT4, &e))
		return 0;
	return connect4_returned((struct sock *)e.first, (void *)e.second, result);
}

SEC("kprobe/tcp_v6_connect")
int BPF_KPROBE(kprobe_tcp_v6_connect, struct sock *sk, void *address)
{
	return enter(CALL_CONNECT6, sk, address, 0);
}

SEC("kretprobe/tcp_v6_connect")
int BPF_KRETPROBE(kretprobe_tcp_v6_connect, int result)
{
	struct entered e;

	if (!leave(CALL_CONNECT6, &e))
		return 0;
	return connect_returned((struct sock *)e.first, (void *)e.second, false, result);
}

/* one of the two before is under way, for the same socket */
SEC("kretprobe/__inet_hash_connect")
int BPF_KRETPROBE(kretprobe_inet_hash_connect, int result)
{
	struct entered *e;

	if (result != -EADDRNOTAVAIL)
		return 0;
	e = inside(CALL_CONNECT4) ?: inside(CALL_CONNECT6);
	return e ? port_chosen((struct sock *)e->first, result) : missed();
}

SEC("kretprobe/inet_csk_accept")
int BPF_KRETPROBE(kretprobe_inet_csk_accept, struct sock *child)
{
	return accepted(child);
}

SEC("kprobe/inet_csk_get_port")
int BPF_KPROBE(kprobe_inet_csk_get_port, struct sock *sk, unsigned short wanted)
{
	return enter(CALL_BIND, sk, NULL, wanted);
}

SEC("kretprobe/inet_csk_get_port")
int BPF_KRETPROBE(kretprobe_inet_csk_get_port, int result)
{
	struct entered e;

	return leave(CALL_BIND, &e) ? port_taken((struct sock *)e.first, e.third, result) : 0;
}

SEC("kretprobe/alloc_fd")
int BPF_KRETPROBE(kretprobe_alloc_fd, int result)
{
	return descriptor_taken(result);
}

/* its name before 5.11 */
SEC("kretprobe/__alloc_fd")
int BPF_KRETPROBE(kretprobe_alloc_fd_before_5_11, int result)
{
	return descriptor_taken(result);
}

SEC("kprobe/__inet_bind")
int BPF_KPROBE(kprobe_inet_bind, struct sock *sk, void *address)
{
	return enter(CALL_UDP_BIND4, sk, address, 0);
}

SEC("kretprobe/__inet_bind")
int BPF_KRETPROBE(kretprobe_inet_bind, int result)
{
	struct entered e;

	if (!leave(CALL_UDP_BIND4, &e))
		return 0;
	return udp_bound((struct sock *)e.first, (void *)e.second, result);
}

SEC("kprobe/__inet6_bind")
int BPF_KPROBE(kprobe_inet6_bind, struct sock *sk, void *address)
{
	return enter(CALL_UDP_BIND6, sk, address, 0);
}

SEC("kretprobe/__inet6_bind")
int BPF_KRETPROBE(kretprobe_inet6_bind, int result)
{
	struct entered e;

	if (!leave(CALL_UDP_BIND6, &e))
		return 0;
	return udp_bound((struct sock *)e.first, (void *)e.second, result);
}

SEC("kprobe/inet_autobind")
int BPF_KPROBE(kprobe_inet_autobind, struct sock *sk)
{
	return enter(CALL_AUTOBIND, sk, NULL, 0);
}

SEC("kretprobe/inet_autobind")
int BPF_KRETPROBE(kretprobe_inet_autobind, int result)
{
	struct entered e;

	return leave(CALL_AUTOBIND, &e) ? udp_autobound((struct sock *)e.first, result) : 0;
}

SEC("kretprobe/alloc_empty_file")
int BPF_KRETPROBE(kretprobe_alloc_empty_file, long result)
{
	return file_allocated(result);
}

SEC("kretprobe/kernel_clone")
int BPF_KRETPROBE(kretprobe_kernel_clone, int result)
{
	return cloned(result);
}

SEC("kprobe/tcp_enter_memory_pressure")
int BPF_KPROBE(kprobe_tcp_enter_memory_pressure, struct sock *sk)
{
	return pressure_entered(sk);
}

SEC("kprobe/tcp_check_oom")
int BPF_KPROBE(kprobe_tcp_check_oom, struct sock *sk)
{
	return enter(CALL_CHECK_OOM, sk, NULL, 0);
}

SEC("kretprobe/tcp_check_oom")
int BPF_KRETPROBE(kretprobe_tcp_check_oom, int result)
{
	struct entered e;

	return leave(CALL_CHECK_OOM, &e) ? oom_checked((struct sock *)e.first, result) : 0;
}

SEC("kprobe/__nf_conntrack_alloc")
int BPF_KPROBE(kprobe_nf_conntrack_alloc, struct net *net, void *zone, void *original)
{
	return enter(CALL_CONNTRACK_ALLOC, net, original, 0);
}

SEC("kretprobe/__nf_conntrack_alloc")
int BPF_KRETPROBE(kretprobe_nf_conntrack_alloc, long result)
{
	struct entered e;

	if (!leave(CALL_CONNTRACK_ALLOC, &e))
		return 0;
	return conntrack_allocated((struct net *)e.first, (struct nf_conntrack_tuple *)e.second, result);
}

SEC("kprobe/__nf_conntrack_confirm")
int BPF_KPROBE(kprobe_nf_conntrack_confirm, struct sk_buff *skb)
{
	return enter(CALL_CONNTRACK_CONFIRM, skb, NULL, 0);
}

SEC("kretprobe/__nf_conntrack_confirm")
int BPF_KRETPROBE(kretprobe_nf_conntrack_confirm, int verdict)
{
	struct entered e;

	if (!leave(CALL_CONNTRACK_CONFIRM, &e))
		return 0;
	return conntrack_confirmed((struct sk_buff *)e.first, verdict);
}

/* always in a softirq, as tcp_timewait_state_process below: its own per-CPU slot
 * carries the arguments */
SEC("kprobe/tcp_conn_request")
int BPF_KPROBE(kprobe_tcp_conn_request, void *ops, void *af_ops, struct sock *sk,
	       struct sk_buff *skb)
{
	return syn_entered(sk, skb);
}

SEC("kretprobe/tcp_conn_request")
int BPF_KRETPROBE(kretprobe_tcp_conn_request)
{
	return syn_left();
}

SEC("kprobe/tcp_v4_syn_recv_sock")
int BPF_KPROBE(kprobe_tcp_v4_syn_recv_sock, struct sock *sk, struct sk_buff *skb)
{
	return enter(CALL_CHILD4, sk, skb, 0);
}

SEC("kretprobe/tcp_v4_syn_recv_sock")
int BPF_KRETPROBE(kretprobe_tcp_v4_syn_recv_sock, struct sock *child)
{
	struct entered e;

	if (!leave(CALL_CHILD4, &e))
		return 0;
	return child4_created((struct sock *)e.first, (struct sk_buff *)e.second, child);
}

SEC("kprobe/tcp_v6_syn_recv_sock")
int BPF_KPROBE(kprobe_tcp_v6_syn_recv_sock, struct sock *sk, struct sk_buff *skb)
{
	return enter(CALL_CHILD6, sk, skb, 0);
}

SEC("kretprobe/tcp_v6_syn_recv_sock")
int BPF_KRETPROBE(kretprobe_tcp_v6_syn_recv_sock, struct sock *child)
{
	struct entered e;

	if (!leave(CALL_CHILD6, &e))
		return 0;
	return child_created((struct sock *)e.first, (struct sk_buff *)e.second, child);
}

SEC("kprobe/inet_twsk_alloc")
int BPF_KPROBE(kprobe_inet_twsk_alloc, struct sock *sk, void *dr, int state)
{
	return enter(CALL_TIME_WAIT_ALLOC, sk, dr, state);
}

SEC("kretprobe/inet_twsk_alloc")
int BPF_KRETPROBE(kretprobe_inet_twsk_alloc, struct inet_timewait_sock *tw)
{
	struct entered e;

	if (!leave(CALL_TIME_WAIT_ALLOC, &e))
		return 0;
	return timewait_allocated((struct sock *)e.first,
				  (struct inet_timewait_death_row *)e.second, e.third, tw);
}

SEC("kprobe/inet_twsk_kill")
int BPF_KPROBE(kprobe_inet_twsk_kill, struct inet_timewait_sock *tw)
{
	return timewait_killed(tw);
}

SEC("kprobe/tcp_twsk_unique")
int BPF_KPROBE(kprobe_tcp_twsk_unique, struct sock *sk, struct inet_timewait_sock *tw)
{
	return enter(CALL_TIME_WAIT_UNIQUE, tw, NULL, 0);
}

SEC("kretprobe/tcp_twsk_unique")
int BPF_KRETPROBE(kretprobe_tcp_twsk_unique, int result)
{
	struct entered e;

	if (!leave(CALL_TIME_WAIT_UNIQUE, &e))
		return 0;
	return timewait_unique((struct inet_timewait_sock *)e.first, result);
}

SEC("kprobe/tcp_timewait_state_process")
int BPF_KPROBE(kprobe_tcp_timewait_state_process, struct inet_timewait_sock *tw)
{
	return segment_entered(tw);
}

SEC("kretprobe/tcp_timewait_state_process")
int BPF_KRETPROBE(kretprobe_tcp_timewait_state_process, int result)
{
	return segment_left(result);
}

#endif
