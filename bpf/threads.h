/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * threads.h - no further thread or process. copy_process gives EAGAIN for four
 * limits alike: RLIMIT_NPROC, the cgroup's pids.max, kernel.threads-max and
 * pid_max. The first is the task's own and told here; user space reads the rest.
 */
#ifndef BRINK_THREADS_H
#define BRINK_THREADS_H

#include "descriptors.h"

static __always_inline int cloned(long result)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct refused r = {};

	if (result != -EAGAIN)
		return 0;
	r.netns = netns_of_task(task);
	r.max = BPF_CORE_READ(task, signal, rlim[RLIMIT_NPROC].rlim_cur);
	if (r.max == RLIM_INFINITY)
		r.max = 0;
	refuse_current(&r, HOOK_THREADS, LIMIT_THREADS, EAGAIN);
	return 0;
}

#endif
