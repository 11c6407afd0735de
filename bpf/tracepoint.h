/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tracepoint.h - the third rung, for kernels that let no function be hooked: one
 * raw tracepoint (4.17), and the returns of the system calls.
 */
#ifndef BRINK_TRACEPOINT_H
#define BRINK_TRACEPOINT_H

#include "syscall.h"

/*
 * Two programs for one tracepoint: the kernel lets no program nest in itself, so
 * that the state changes of a softirq which interrupts the first one pass that by
 * (seen on 6.18: whole bursts). They do not pass by the second: it runs after the
 * first, and takes over what that has not seen. On the two rungs before this one
 * the first look is a function's.
 */
SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(raw_tp_inet_sock_set_state, struct sock *sk, int old_state, int new_state)
{
	return state_changed(sk, old_state, new_state);
}

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(raw_tp_inet_sock_set_state_again, struct sock *sk, int old_state, int new_state)
{
	return state_changes_again(sk, old_state, new_state);
}

SEC("tracepoint/syscalls/sys_exit_connect")
int tp_sys_exit_connect(struct sys_exit *ctx)
{
	return ctx->result < 0 ? connect_failed(arguments(), ctx->result) : 0;
}

SEC("tracepoint/syscalls/sys_exit_bind")
int tp_sys_exit_bind(struct sys_exit *ctx)
{
	return ctx->result < 0 ? bind_failed(arguments(), ctx->result) : 0;
}

SEC("tracepoint/syscalls/sys_exit_listen")
int tp_sys_exit_listen(struct sys_exit *ctx)
{
	return ctx->result < 0 ? listen_failed(arguments(), ctx->result) : 0;
}

SEC("tracepoint/syscalls/sys_enter_connect")
int tp_sys_enter_connect(struct sys_enter *ctx)
{
	return descriptor_call_entered(ctx, CALL_SYS_CONNECT);
}

SEC("tracepoint/syscalls/sys_exit_connect")
int tp_sys_exit_connect_before_5_15(struct sys_exit *ctx)
{
	struct arguments a = arguments_before_5_15(CALL_SYS_CONNECT);

	return ctx->result < 0 ? connect_failed(a, ctx->result) : 0;
}

SEC("tracepoint/syscalls/sys_enter_bind")
int tp_sys_enter_bind(struct sys_enter *ctx)
{
	return descriptor_call_entered(ctx, CALL_SYS_BIND);
}

SEC("tracepoint/syscalls/sys_exit_bind")
int tp_sys_exit_bind_before_5_15(struct sys_exit *ctx)
{
	struct arguments a = arguments_before_5_15(CALL_SYS_BIND);

	return ctx->result < 0 ? bind_failed(a, ctx->result) : 0;
}

SEC("tracepoint/syscalls/sys_enter_listen")
int tp_sys_enter_listen(struct sys_enter *ctx)
{
	return descriptor_call_entered(ctx, CALL_SYS_LISTEN);
}

SEC("tracepoint/syscalls/sys_exit_listen")
int tp_sys_exit_listen_before_5_15(struct sys_exit *ctx)
{
	struct arguments a = arguments_before_5_15(CALL_SYS_LISTEN);

	return ctx->result < 0 ? listen_failed(a, ctx->result) : 0;
}

/* accept and accept4 take their descriptor first; both may also run out of it,
 * which the programs below tell */
SEC("tracepoint/syscalls/sys_exit_accept")
int tp_sys_exit_accept(struct sys_exit *ctx)
{
	return accept_exited(ctx);
}

SEC("tracepoint/syscalls/sys_exit_accept4")
int tp_sys_exit_accept4(struct sys_exit *ctx)
{
	return accept_exited(ctx);
}

/* socket, accept, open and whatever else gives a descriptor: the loader attaches
 * this one to each of them */
SEC("tracepoint/syscalls/sys_exit_socket")
int tp_sys_exit_descriptor(struct sys_exit *ctx)
{
	return descriptor_call_exited(ctx->result);
}

/* clone and its kin, likewise */
SEC("tracepoint/syscalls/sys_exit_clone")
int tp_sys_exit_clone(struct sys_exit *ctx)
{
	return cloned(ctx->result);
}

SEC("raw_tp/sock_exceed_buf_limit")
int BPF_PROG(raw_tp_sock_exceed_buf_limit, struct sock *sk, struct proto *prot)
{
	return buffer_refused(sk, prot);
}

#endif
