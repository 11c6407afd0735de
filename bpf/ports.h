/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ports.h - how many ports the kernel's search may choose from: the namespace's
 * net.ipv4.ip_local_port_range, narrowed by the socket's own (IP_LOCAL_PORT_RANGE,
 * read since 6.8). User space takes away what net.ipv4.ip_local_reserved_ports
 * names: to count the bits of that map here takes the verifier seconds.
 */
#ifndef BRINK_PORTS_H
#define BRINK_PORTS_H

#include "read.h"

/* inet_get_local_port_range */
static __always_inline struct port_range range_of_netns(struct net *net)
{
	struct local_ports *ports = __builtin_preserve_access_index(&net->ipv4.ip_local_ports);
	struct local_ports___before_6_8 *before = (void *)ports;
	__u32 both;

	if (bpf_core_field_exists(struct local_ports___before_6_8, range))
		return (struct port_range){BPF_CORE_READ(before, range[0]), BPF_CORE_READ(before, range[1])};
	both = BPF_CORE_READ(ports, range);
	return (struct port_range){both & 0xffff, both >> 16};
}

/* inet_sk_get_local_port_range: a bound of the socket's own counts while it lies
 * inside the namespace's range. */
static __always_inline struct port_range range_of(struct sock *sk)
{
	struct port_range range = range_of_netns(BPF_CORE_READ(sk, __sk_common.skc_net.net));
	struct inet_sock *inet = (struct inet_sock *)sk;
	__u32 own = 0;
	__u16 low, high;

	if (!bpf_core_field_exists(struct inet_sock, local_port_range))
		return range;
	bpf_core_read(&own, sizeof(own), &inet->local_port_range);
	low = own & 0xffff;
	high = own >> 16;
	if (range.low <= low && low <= range.high)
		range.low = low;
	if (range.low <= high && high <= range.high)
		range.high = high;
	return range;
}

#endif
