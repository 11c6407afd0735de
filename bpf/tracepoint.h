/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tracepoint.h - the third rung, for kernels that let no function be hooked:
 * two raw tracepoints (4.17), which need neither tracefs nor kprobes.
 */
#ifndef BRINK_TRACEPOINT_H
#define BRINK_TRACEPOINT_H

#include "syscall.h"

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(raw_tp_inet_sock_set_state, struct sock *sk, int old_state, int new_state)
{
	return state_changes(sk, old_state, new_state);
}

SEC("raw_tp/sys_exit")
int BPF_PROG(raw_tp_sys_exit, struct pt_regs *regs, long result)
{
	return system_call_returned(regs, result);
}

#endif
