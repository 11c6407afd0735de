/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * read.h - from kernel objects to the structs of event.h.
 */
#ifndef BRINK_READ_H
#define BRINK_READ_H

#include "kernel.h"
#include "event.h"

/*
 * Reads a field, and further ones by way of pointers, as BPF_CORE_READ does. With
 * bpf_rdonly_cast (6.2) that takes a load a step, where it takes a call of
 * bpf_probe_read_kernel without; the verifier removes the branch not taken. A
 * fault reads zero either way.
 */
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __weak __ksym;

#define TYPED(p) ((typeof(p))bpf_rdonly_cast(p, bpf_core_type_id_kernel(typeof(*(p)))))
#define READ(p, ...) \
	(bpf_rdonly_cast ? ___apply(LOAD, ___narg(__VA_ARGS__))(TYPED(p), __VA_ARGS__) \
			 : BPF_CORE_READ(p, __VA_ARGS__))
#define LOAD1(p, a)    ((p)->a)
#define LOAD2(p, a, b) ((p)->a->b)

static __always_inline bool is_tcp(struct sock *sk)
{
	return READ(sk, sk_protocol) == IPPROTO_TCP;
}

static __always_inline bool is_udp(struct sock *sk)
{
	return READ(sk, sk_protocol) == IPPROTO_UDP;
}

static __always_inline bool is_inet(struct sock *sk)
{
	__u16 family = READ(sk, __sk_common.skc_family);

	return family == AF_INET || family == AF_INET6;
}

static __always_inline __u32 netns_of(struct sock *sk)
{
	return READ(sk, __sk_common.skc_net.net, ns.inum);
}

static __always_inline __u16 peer_port_of(struct sock_common *skc) { return bpf_ntohs(READ(skc, skc_dport)); }

/* inet_sport, not skc_num: at CLOSE the latter is 0 already where the kernel chose the
 * port (inet_put_port, seen on 6.18). */
static __always_inline __u16 local_port_of(struct sock *sk)
{
	return bpf_ntohs(READ((struct inet_sock *)sk, inet_sport));
}

static __always_inline void read_addresses(struct sock_common *skc, struct tuple *t)
{
	t->family = READ(skc, skc_family);
	if (t->family != AF_INET6) {
		*(__be32 *)t->local = READ(skc, skc_rcv_saddr);
		*(__be32 *)t->peer = READ(skc, skc_daddr);
	} else if (bpf_rdonly_cast) {
		__builtin_memcpy(t->local, TYPED(skc)->skc_v6_rcv_saddr.bytes, 16);
		__builtin_memcpy(t->peer, TYPED(skc)->skc_v6_daddr.bytes, 16);
	} else {
		bpf_core_read(t->local, 16, &skc->skc_v6_rcv_saddr);
		bpf_core_read(t->peer, 16, &skc->skc_v6_daddr);
	}
	t->peer_port = peer_port_of(skc);
}

static __always_inline void read_tuple(struct sock *sk, struct tuple *t)
{
	read_addresses(&sk->__sk_common, t);
	t->local_port = local_port_of(sk);
}

static __always_inline void read_timewait_tuple(struct inet_timewait_sock *tw, struct tuple *t)
{
	read_addresses(&tw->__tw_common, t);
	t->local_port = READ(tw, __tw_common.skc_num);
}

static __always_inline __u64 payload_sent(struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	return READ(tp, bytes_sent) - READ(tp, bytes_retrans);
}

/*
 * When the segment or timer came that the kernel is at, as CLOCK_MONOTONIC: it has
 * asked the clock already, which costs more than most of what is done here. What a
 * program does to its own socket finds an old time.
 */
static __always_inline __u64 segment_time(struct sock *sk)
{
	return READ((struct tcp_sock *)sk, tcp_mstamp) * 1000;
}

/* bytes_received counts the peer's FIN, which tcp_fin notes as SOCK_DONE. */
static __always_inline __u64 payload_received(struct sock *sk)
{
	__u64 received = READ((struct tcp_sock *)sk, bytes_received);
	bool fin = READ(sk, __sk_common.skc_flags) & SOCK_DONE;

	return fin && received ? received - 1 : received;
}

static __always_inline void read_comm(struct task_struct *task, struct owner *o)
{
	if (bpf_rdonly_cast)
		__builtin_memcpy(o->comm, TYPED(task)->comm, sizeof(o->comm));
	else
		bpf_core_read(o->comm, sizeof(o->comm), &task->comm);
}

/* Only in the context of a task that acts for itself: connect, accept, bind,
 * listen, socket. In a softirq the current task is a bystander. The name is the
 * process's, not the thread's, which may call itself anything. */
static __always_inline void read_owner(struct owner *o)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct task_struct *leader = READ(task, group_leader);
	struct cgroup *cgroup;

	read_comm(leader, o);
	if (bpf_rdonly_cast) { /* what the three helpers do, without their calls */
		o->pid = READ(task, tgid);
		o->uid = READ(task, cred, uid.val);
		cgroup = READ(task, cgroups, dfl_cgrp);
		o->cgroup = READ(cgroup, kn, id);
		return;
	}
	o->pid = bpf_get_current_pid_tgid() >> 32;
	o->uid = bpf_get_current_uid_gid();
	o->cgroup = bpf_get_current_cgroup_id();
}

#endif
