/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * accept.h - a server's endpoint gets its owner, in that owner's own context.
 */
#ifndef BRINK_ACCEPT_H
#define BRINK_ACCEPT_H

#include "endpoint.h"

/* Only born late can it be without an entry here: by a hook that waits for ESTABLISHED. */
static __always_inline bool awaits_birth(struct sock *child)
{
	return born_late() && READ(child, __sk_common.skc_state) == TCP_SYN_RECV && is_tcp(child) &&
	       netns_wanted(netns_of(child));
}

static __always_inline int accepted(struct sock *child)
{
	struct endpoint *e = child ? endpoint_of(child) : NULL;

	if (e)
		own(e);
	else if (child && awaits_birth(child))
		own_early(child);
	return 0;
}

#endif
