/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * fentry.h - the first rung: fentry and fexit (5.5). The cheapest way in, and
 * the only one that sees arguments and result together.
 */
#ifndef BRINK_FENTRY_H
#define BRINK_FENTRY_H

/*
 * bpf_get_func_ret is of 5.17. Before that the result sits behind the last
 * argument, wherever that is in that kernel's signature; `args` is their number
 * before 5.17. The branch not taken is removed at load time.
 */
static __always_inline long returned(unsigned long long *ctx, int args)
{
	__u64 result = 0;

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_func_ret)) {
		result = ctx[args];
		/* else clang merges the two ways into one load through a pointer
		 * computed from ctx, which the verifier does not allow */
		barrier_var(result);
		return result;
	}
	bpf_get_func_ret(ctx, &result);
	return result;
}

SEC("fentry/tcp_set_state")
int BPF_PROG(fentry_tcp_set_state, struct sock *sk, int state)
{
	return state_changes(sk, sk->__sk_common.skc_state, state);
}

SEC("fexit/inet_csk_clone_lock")
int BPF_PROG(fexit_inet_csk_clone_lock)
{
	return child_born((struct sock *)returned(ctx, 3));
}

SEC("fexit/inet_csk_listen_start")
int BPF_PROG(fexit_inet_csk_listen_start, struct sock *sk)
{
	return listening(sk, returned(ctx, 2));
}

SEC("fexit/tcp_v4_connect")
int BPF_PROG(fexit_tcp_v4_connect, struct sock *sk, void *address)
{
	return connect4_returned(sk, address, (int)returned(ctx, 3));
}

SEC("fexit/tcp_v6_connect")
int BPF_PROG(fexit_tcp_v6_connect, struct sock *sk, void *address)
{
	return connect_returned(sk, address, false, (int)returned(ctx, 3));
}

SEC("fexit/__inet_hash_connect")
int BPF_PROG(fexit_inet_hash_connect, void *death_row, struct sock *sk)
{
	return port_chosen(sk, (int)returned(ctx, 4));
}

/* (sk, flags, err, kern) became (sk, arg) in 6.10 */
SEC("fexit/inet_csk_accept")
int BPF_PROG(fexit_inet_csk_accept)
{
	return accepted((struct sock *)returned(ctx, 4));
}

SEC("fexit/inet_csk_get_port")
int BPF_PROG(fexit_inet_csk_get_port, struct sock *sk, unsigned short wanted)
{
	return port_taken(sk, wanted, (int)returned(ctx, 2));
}

SEC("fexit/alloc_fd")
int BPF_PROG(fexit_alloc_fd)
{
	return descriptor_taken((int)returned(ctx, 3));
}

/* its name before 5.11, when alloc_fd was the inner half of F_DUPFD */
SEC("fexit/__alloc_fd")
int BPF_PROG(fexit_alloc_fd_before_5_11)
{
	return descriptor_taken((int)returned(ctx, 4));
}

SEC("fexit/__inet_bind")
int BPF_PROG(fexit_inet_bind, struct sock *sk, void *address)
{
	return udp_bound(sk, address, (int)returned(ctx, 4));
}

SEC("fexit/__inet6_bind")
int BPF_PROG(fexit_inet6_bind, struct sock *sk, void *address)
{
	return udp_bound(sk, address, (int)returned(ctx, 4));
}

SEC("fexit/inet_autobind")
int BPF_PROG(fexit_inet_autobind, struct sock *sk)
{
	return udp_autobound(sk, (int)returned(ctx, 1));
}

SEC("fexit/alloc_empty_file")
int BPF_PROG(fexit_alloc_empty_file)
{
	return file_allocated(returned(ctx, 2));
}

SEC("fexit/kernel_clone")
int BPF_PROG(fexit_kernel_clone)
{
	return cloned((int)returned(ctx, 1));
}

SEC("fentry/tcp_enter_memory_pressure")
int BPF_PROG(fentry_tcp_enter_memory_pressure, struct sock *sk)
{
	return pressure_entered(sk);
}

SEC("fexit/tcp_check_oom")
int BPF_PROG(fexit_tcp_check_oom, struct sock *sk)
{
	return oom_checked(sk, returned(ctx, 2));
}

SEC("fexit/__nf_conntrack_alloc")
int BPF_PROG(fexit_nf_conntrack_alloc, struct net *net, void *zone, struct nf_conntrack_tuple *original)
{
	return conntrack_allocated(net, original, returned(ctx, 6));
}

SEC("fexit/__nf_conntrack_confirm")
int BPF_PROG(fexit_nf_conntrack_confirm, struct sk_buff *skb)
{
	return conntrack_confirmed(skb, (int)returned(ctx, 1));
}

SEC("fentry/tcp_conn_request")
int BPF_PROG(fentry_tcp_conn_request, void *ops, void *af_ops, struct sock *sk, struct sk_buff *skb)
{
	return syn_entered(sk, skb);
}

SEC("fexit/tcp_conn_request")
int BPF_PROG(fexit_tcp_conn_request)
{
	return syn_left();
}

SEC("fexit/tcp_v4_syn_recv_sock")
int BPF_PROG(fexit_tcp_v4_syn_recv_sock, struct sock *sk, struct sk_buff *skb)
{
	return child4_created(sk, skb, (struct sock *)returned(ctx, 6));
}

SEC("fexit/tcp_v6_syn_recv_sock")
int BPF_PROG(fexit_tcp_v6_syn_recv_sock, struct sock *sk, struct sk_buff *skb)
{
	return child_created(sk, skb, (struct sock *)returned(ctx, 6));
}

SEC("fexit/inet_twsk_alloc")
int BPF_PROG(fexit_inet_twsk_alloc, struct sock *sk, struct inet_timewait_death_row *dr, int state)
{
	return timewait_allocated(sk, dr, state, (struct inet_timewait_sock *)returned(ctx, 3));
}

SEC("fentry/inet_twsk_kill")
int BPF_PROG(fentry_inet_twsk_kill, struct inet_timewait_sock *tw)
{
	return timewait_killed(tw);
}

SEC("fexit/tcp_twsk_unique")
int BPF_PROG(fexit_tcp_twsk_unique, struct sock *sk, struct inet_timewait_sock *tw)
{
	return timewait_unique(tw, (int)returned(ctx, 3));
}

SEC("fentry/tcp_timewait_state_process")
int BPF_PROG(fentry_tcp_timewait_state_process, struct inet_timewait_sock *tw)
{
	return segment_entered(tw);
}

SEC("fexit/tcp_timewait_state_process")
int BPF_PROG(fexit_tcp_timewait_state_process)
{
	return segment_left((int)returned(ctx, 3));
}

#endif
