/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * syscall.h - the tracepoint rung: what only the return of a system call tells
 * where functions cannot be hooked. One raw tracepoint sees them all; it gives
 * the arguments too (struct pt_regs), which the per-call tracepoints of tracefs
 * do not on exit. Calls made through io_uring pass it by.
 */
#ifndef BRINK_SYSCALL_H
#define BRINK_SYSCALL_H

#include "accept.h"
#include "bind.h"
#include "connect.h"
#include "descriptors.h"

#if defined(__TARGET_ARCH_x86)
enum {
	NR_socket = 41, NR_connect = 42, NR_accept = 43,
	NR_bind = 49, NR_listen = 50, NR_accept4 = 288,
};
#define SYSCALL_NR(regs)     BPF_CORE_READ(regs, orig_ax)
#define SYSCALL_FIRST(regs)  BPF_CORE_READ(regs, di)
#define SYSCALL_SECOND(regs) BPF_CORE_READ(regs, si)
/* arch/x86/include/asm/thread_info.h, TS_COMPAT: i386 numbers differ */
#define SYSCALL_IS_COMPAT(task) (BPF_CORE_READ(task, thread_info.status) & 0x2)
#elif defined(__TARGET_ARCH_arm64)
enum {
	NR_socket = 198, NR_bind = 200, NR_listen = 201,
	NR_accept = 202, NR_connect = 203, NR_accept4 = 242,
};
#define SYSCALL_NR(regs)     BPF_CORE_READ(regs, syscallno)
#define SYSCALL_FIRST(regs)  BPF_CORE_READ(regs, orig_x0)
#define SYSCALL_SECOND(regs) BPF_CORE_READ(regs, user_regs.regs[1])
/* arch/arm64/include/asm/thread_info.h, TIF_32BIT */
#define SYSCALL_IS_COMPAT(task) (BPF_CORE_READ(task, thread_info.flags) & (1ul << 22))
#endif

/* The TCP socket behind a descriptor of the current task, or NULL. */
static __always_inline struct sock *tcp_socket_of(struct task_struct *task, __u32 fd)
{
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
	return sk && is_tcp(sk) ? sk : NULL;
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
	refuse_bind(&r, HOOK_BIND);
}

/* listen() asks for the port again (inet_csk_listen_start). */
static __always_inline void listen_returned(struct sock *sk, long result)
{
	struct refused r = {};

	if (result != -EADDRINUSE)
		return;
	refusal_of(sk, &r);
	refuse_bind(&r, HOOK_BIND);
}

/* The port search has no hook on this rung. By now the socket has lost its
 * destination (tcp_v4_connect, at its label failure); the record has it. */
static __always_inline void connect_call_returned(struct sock *sk, const void *address, long result)
{
	struct endpoint *e = endpoint_of(sk);
	struct refused r = {};

	if (result == -EADDRNOTAVAIL && !port_choices && e && e->flags & ENDPOINT_AWAITS_RESULT) {
		r.tuple = e->tuple;
		r.netns = e->netns;
		refuse_port_choice(&r, e->tuple.local_port);
	}
	connect_returned(sk, address, true, result);
}

static __always_inline void call_failed(struct task_struct *task, struct pt_regs *regs, long nr,
					long result)
{
	const void *address = (const void *)SYSCALL_SECOND(regs);
	struct sock *sk = tcp_socket_of(task, SYSCALL_FIRST(regs));

	if (!sk)
		return;
	if (nr == NR_connect && connect_by_syscall)
		connect_call_returned(sk, address, result);
	else if (nr == NR_bind && bind_by_syscall)
		bind_returned(sk, address, result);
	else if (nr == NR_listen && bind_by_syscall)
		listen_returned(sk, result);
}

static __always_inline void accept_returned(struct task_struct *task, long result)
{
	if (result < 0 && descriptors_by_syscall)
		descriptor_taken(result);
	else if (result >= 0 && accept_by_syscall)
		accepted(tcp_socket_of(task, result));
}

static __always_inline int system_call_returned(struct pt_regs *regs, long result)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	long nr = SYSCALL_NR(regs);

	switch (nr) {
	case NR_accept:
	case NR_accept4:
		if (!SYSCALL_IS_COMPAT(task))
			accept_returned(task, result);
		break;
	case NR_socket:
		if (result < 0 && descriptors_by_syscall && !SYSCALL_IS_COMPAT(task))
			descriptor_taken(result);
		break;
	case NR_connect:
	case NR_bind:
	case NR_listen:
		if (result < 0 && !SYSCALL_IS_COMPAT(task))
			call_failed(task, regs, nr, result);
		break;
	}
	return 0;
}

#endif
