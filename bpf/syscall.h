/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * syscall.h - the tracepoint rung: what only the return of a system call tells
 * where functions cannot be hooked. The tracepoints of tracefs (perf events) and
 * not the raw one, sys_exit: since 6.13 system call tracepoints run preemptibly,
 * and a raw tracepoint's program that is preempted misses what happens on that
 * CPU meanwhile (seen on 7.2); a perf event's is not. They leave out calls of
 * other ABIs (i386), whose numbers mean something else, and cost nothing on
 * calls that nobody asks about. Calls made through io_uring pass them by.
 */
#ifndef BRINK_SYSCALL_H
#define BRINK_SYSCALL_H

#include "accept.h"
#include "bind.h"
#include "calls.h"
#include "connect.h"
#include "descriptors.h"
#include "udp.h"

/* /sys/kernel/tracing/events/syscalls/.../format, the same for all of them */
struct sys_enter {
	__u64 common;
	__u64 nr;
	__u64 args[6];
};

struct sys_exit {
	__u64 common;
	__u64 nr;
	long  result;
};

/* The socket behind a descriptor of the current task, or NULL. */
static __always_inline struct sock *socket_of(__u32 fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **slots = BPF_CORE_READ(table, fd);
	struct file *file = NULL;
	struct socket *socket;
	struct sock *sk;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), slots + fd);
	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	return sk && is_inet(sk) ? sk : NULL;
}

static __always_inline void bind_returned(struct sock *sk, const void *address, long result)
{
	struct refused r = {};
	struct tuple asked = {};

	if (result != -EADDRINUSE)
		return;
	read_peer(address, true, &asked);
	refusal_of(sk, &r);
	__builtin_memcpy(r.tuple.local, asked.peer, 16);
	r.tuple.local_port = asked.peer_port;
	r.tuple.family = asked.family;
	refuse_bind(sk, &r, HOOK_BIND);
}

/* listen() asks for the port again (inet_csk_listen_start). */
static __always_inline void listen_returned(struct sock *sk, long result)
{
	struct refused r = {};

	if (result != -EADDRINUSE)
		return;
	refusal_of(sk, &r);
	r.bind.listening = 1;
	refuse_bind(sk, &r, HOOK_BIND);
}

static __always_inline int descriptor_call_entered(struct sys_enter *ctx, __u64 call)
{
	return enter(call, (void *)ctx->args[0], (void *)ctx->args[1], 0);
}

/* The socket that a failed call was about, or NULL; its address goes along. */
static __always_inline struct sock *failed_socket(struct sys_exit *ctx, __u64 call,
						  const void **address)
{
	struct entered e;

	if (!left(call, &e) || ctx->result >= 0)
		return NULL;
	*address = (const void *)e.second;
	return socket_of(e.first);
}

static __always_inline int connect_exited(struct sys_exit *ctx)
{
	const void *address;
	struct sock *sk = failed_socket(ctx, CALL_SYS_CONNECT, &address);

	if (sk && is_tcp(sk))
		connect_returned(sk, address, true, ctx->result);
	else if (sk && !udp_ports)
		udp_autobound(sk, ctx->result);
	return 0;
}

static __always_inline int bind_exited(struct sys_exit *ctx)
{
	const void *address;
	struct sock *sk = failed_socket(ctx, CALL_SYS_BIND, &address);

	if (sk && is_tcp(sk))
		bind_returned(sk, address, ctx->result);
	else if (sk && is_udp(sk) && !udp_ports && ctx->result == -EADDRINUSE)
		refuse_udp_bind(sk, address, true);
	return 0;
}

static __always_inline int listen_exited(struct sys_exit *ctx)
{
	const void *address;
	struct sock *sk = failed_socket(ctx, CALL_SYS_LISTEN, &address);

	if (sk && is_tcp(sk))
		listen_returned(sk, ctx->result);
	return 0;
}

static __always_inline int accept_exited(struct sys_exit *ctx)
{
	return ctx->result < 0 ? 0 : accepted(socket_of(ctx->result));
}

#endif
