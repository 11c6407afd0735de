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
	struct fdtable *table = READ(task, files, fdt);
	struct file **slots = READ(table, fd);
	struct file *file = NULL;
	struct socket *socket;
	struct sock *sk;

	if (fd >= READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), slots + fd);
	if (!file || (READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = READ(file, private_data);
	sk = READ(socket, sk);
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

/* What connect, bind and listen were called with: a descriptor, and an address. */
struct arguments {
	__u64 fd;
	const void *address;
};

/* The registers that the task came into the kernel with still have them when it
 * leaves (bpf_task_pt_regs, 5.15). */
static __always_inline struct arguments arguments(void)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());

	return (struct arguments){PT_REGS_PARM1_CORE_SYSCALL(regs), (void *)PT_REGS_PARM2_CORE_SYSCALL(regs)};
}

/* Before 5.15 a program on the call's entry leaves them for the one on its return. */
static __always_inline int descriptor_call_entered(struct sys_enter *ctx, enum call_key call)
{
	return enter(call, (void *)ctx->args[0], (void *)ctx->args[1], 0);
}

static __always_inline struct arguments arguments_before_5_15(enum call_key call)
{
	struct entered e = {};

	left(call, &e);
	return (struct arguments){e.first, (void *)e.second};
}

static __always_inline int connect_failed(struct arguments a, long result)
{
	struct sock *sk = result == -EINPROGRESS ? NULL : socket_of(a.fd);

	if (sk && is_tcp(sk))
		connect_returned(sk, a.address, true, result);
	else if (sk && !udp_ports)
		udp_autobound(sk, result);
	return 0;
}

static __always_inline int bind_failed(struct arguments a, long result)
{
	struct sock *sk = socket_of(a.fd);

	if (sk && is_tcp(sk))
		bind_returned(sk, a.address, result);
	else if (sk && is_udp(sk) && !udp_ports && result == -EADDRINUSE)
		refuse_udp_bind(sk, a.address, true);
	return 0;
}

static __always_inline int listen_failed(struct arguments a, long result)
{
	struct sock *sk = socket_of(a.fd);

	if (sk && is_tcp(sk))
		listen_returned(sk, result);
	return 0;
}

static __always_inline int accept_exited(struct sys_exit *ctx)
{
	return ctx->result < 0 ? 0 : accepted(socket_of(ctx->result));
}

#endif
