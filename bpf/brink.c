//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * brink.c - the one object. Handlers come first, one header a subject; the
 * wrappers after them say which kernel function leads to which handler, once
 * per rung. The loader takes programs from it one by one, so that one which a
 * kernel refuses never takes the rest down.
 */
#define __VMLINUX_H__ /* bpf_tracing.h: kernel.h has the kernel's own pt_regs */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#include "state.h"
#include "connect.h"
#include "accept.h"
#include "bind.h"
#include "descriptors.h"
#include "queue.h"
#include "udp.h"
#include "threads.h"
#include "memory.h"
#include "conntrack.h"

#include "fentry.h"
#include "kprobe.h"
#include "tracepoint.h"

/* raw access to kernel structs and bpf_probe_read_kernel are GPL only */
char gpl[] SEC("license") = "Dual BSD/GPL";

/* bpf2go mirrors only what the object's BTF mentions, and locals are not in it. */
const struct {
	struct endpoint_ended ended;
	struct state_changed  changed;
	struct refused	      refused;
	struct time_wait      time_wait;
	struct storm_key      storm_key;
	struct storm	      storm;
	struct lives_key      lives_key;
	struct lives	      lives;
	struct time_waits_key time_waits_key;
	enum failure	      failure;
	enum outcome	      outcome;
	enum stage	      stage;
	enum endpoint_flag    flag;
} *mirrored __attribute__((unused));
