/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * accept.h - a server's endpoint gets its owner, in that owner's own context.
 */
#ifndef BRINK_ACCEPT_H
#define BRINK_ACCEPT_H

#include "endpoint.h"

static __always_inline int accepted(struct sock *child)
{
	struct endpoint *e = child ? endpoint_of(child) : NULL;

	if (e)
		own(e);
	return 0;
}

#endif
