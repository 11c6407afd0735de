/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * descriptors.h - no file descriptor for a new socket. accept4 takes the
 * descriptor before it looks at its queue, so that inet_csk_accept never learns
 * of EMFILE.
 */
#ifndef BRINK_DESCRIPTORS_H
#define BRINK_DESCRIPTORS_H

#include "refuse.h"

static __always_inline int descriptor_taken(long result)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct refused r = {};

	if (result != -EMFILE && result != -ENFILE)
		return 0;
	r.netns = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	if (result == -EMFILE)
		r.max = BPF_CORE_READ(task, signal, rlim[RLIMIT_NOFILE].rlim_cur);
	refuse_current(&r, HOOK_DESCRIPTORS,
		       result == -EMFILE ? LIMIT_FILE_DESCRIPTORS : LIMIT_FILE_TABLE, -result);
	return 0;
}

#endif
