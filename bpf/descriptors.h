/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * descriptors.h - no file descriptor, or no file, for a new socket. accept4 takes the
 * descriptor before it looks at its queue, so that inet_csk_accept never learns
 * of EMFILE.
 */
#ifndef BRINK_DESCRIPTORS_H
#define BRINK_DESCRIPTORS_H

#include "refuse.h"

static __always_inline __u32 netns_of_task(struct task_struct *task)
{
	return BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
}

static __always_inline int descriptor_taken(long result)
{
	if (result == -EMFILE) {
		struct task_struct *task = (void *)bpf_get_current_task();
		struct refused r = {.netns = netns_of_task(task)};

		/* every number below the limit is taken */
		r.used = r.max = BPF_CORE_READ(task, signal, rlim[RLIMIT_NOFILE].rlim_cur);
		refuse_current(&r, HOOK_DESCRIPTORS, LIMIT_FILE_DESCRIPTORS, EMFILE);
	}
	return 0;
}

/* alloc_empty_file: the host's files, which user space counts. */
static __always_inline int file_allocated(long result)
{
	if (result == -ENFILE) {
		struct refused r = {.netns = netns_of_task((void *)bpf_get_current_task())};

		refuse_current(&r, HOOK_FILE_TABLE, LIMIT_FILE_TABLE, ENFILE);
	}
	return 0;
}

/* What only the return of a system call tells, either of the two. */
static __always_inline int descriptor_call_exited(long result)
{
	if (result == -ENFILE && !file_tables)
		return file_allocated(result);
	return descriptor_taken(result);
}

#endif
