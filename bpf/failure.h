/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * failure.h - an errno says what the program was told; together with the state
 * and the timers it says what happened.
 */
#ifndef BRINK_FAILURE_H
#define BRINK_FAILURE_H

#include "read.h"

/* tcp_write_timeout counts retransmissions, tcp_probe_timer and the keepalive
 * timer count probes. */
static __always_inline __u8 timeout_of(struct sock *sk, __u32 last_state)
{
	struct inet_connection_sock *icsk = (struct inet_connection_sock *)sk;

	if (last_state == TCP_SYN_SENT || last_state == TCP_SYN_RECV)
		return FAILURE_SYN_TIMEOUT;
	if (READ(icsk, icsk_retransmits))
		return FAILURE_RETRANSMISSION_TIMEOUT;
	return FAILURE_PROBE_TIMEOUT; /* icsk_probes_out may be 0: each answer resets it */
}

static __always_inline __u8 failure_of(struct sock *sk, __u32 error, __u32 last_state)
{
	switch (error) {
	case 0:		    return FAILURE_NONE;
	case ECONNREFUSED:  return FAILURE_REFUSED;
	case ECONNRESET:
	case EPIPE:	    return FAILURE_RESET; /* tcp_reset: EPIPE in CLOSE_WAIT */
	case ETIMEDOUT:	    return timeout_of(sk, last_state);
	case EHOSTUNREACH:
	case ENETUNREACH:   return FAILURE_UNREACHABLE;
	case EADDRNOTAVAIL: return FAILURE_NO_PORT;
	}
	return FAILURE_OTHER;
}

#endif
