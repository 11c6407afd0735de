/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * maps.h - everything the programs share: the ring, the endpoints being
 * tracked, the counters, the filters. Each map is bounded; what does not fit
 * is counted in `counts`.
 */
#ifndef BRINK_MAPS_H
#define BRINK_MAPS_H

#include "event.h"

/* user space sizes the ring and the endpoints before it loads them */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024 * 1024);
} events SEC(".maps");

/*
 * Endpoints by the address of the struct sock, from birth to TCP_CLOSE. The slab
 * reuses addresses, but never before the CLOSE that deletes the entry. See table.h.
 *
 * The first few have places made beforehand (6 MiB); those beyond have not: an
 * idle host pays for the sockets that it has.
 */
struct place {
	__u64		socket; /* 0: free */
	struct endpoint endpoint;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32 * 1024);
	__type(key, __u32);
	__type(value, struct place);
} endpoints SEC(".maps");

const volatile __u32 last_place = 32 * 1024 - 1; /* a power of two less one */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} overflowed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * 1024 * 1024); /* both ends of a million connections */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct endpoint);
} more_endpoints SEC(".maps");

/* Owners that came before their entries (early.h), by the socket's address. */
struct early_owner {
	struct owner owner;
	__u32	     flags; /* ENDPOINT_IN_CGROUP */
	__u32	     pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct early_owner);
} early_owners SEC(".maps");

/* How many there are: mostly none, and to look costs less here than there. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} early SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNT_COUNT);
	__type(key, enum count);
	__type(value, __u64);
} counts SEC(".maps");

/* Refusals per limit: exact, also when their records are lost. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LIMIT_COUNT);
	__type(key, enum limit);
	__type(value, __u64);
} hits SEC(".maps");

/* Connections that failed, per kind of failure: exact in the same way. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FAILURE_COUNT);
	__type(key, enum failure);
	__type(value, __u64);
} failures SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4 * 1024);
	__type(key, struct storm_key);
	__type(value, struct storm);
} storms SEC(".maps");

/*
 * What was seen on a call's entry, for the program that sees only its result, in
 * a place as an endpoint has, or in the hash if that is taken. See calls.h.
 */
struct entered {
	__u64 first;
	__u64 second;
	__u64 third;
};

struct call {
	__u64	       key; /* the task's address, and which function; 0: free */
	struct entered entered;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct call);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16 * 1024);
	__type(key, __u64);
	__type(value, struct entered);
} more_calls SEC(".maps");

/* Timewait sockets on their way out because somebody takes their tuple over. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4 * 1024);
	__type(key, __u64);
	__type(value, __u32); /* enum time_wait_event */
} reused SEC(".maps");

/* The timewait socket that this CPU's softirq is feeding a segment to. */
struct timewait_segment {
	__u64 tw;
	__u32 substate;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct timewait_segment);
} timewait_segments SEC(".maps");

/* The sums of a tally, and the timewait sockets that sampled connections left.
 * Each needs a key per namespace and kind; user space forgets namespaces that are
 * gone. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 8 * 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lives_key);
	__type(value, struct lives);
} tally_lives SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 8 * 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct time_waits_key);
	__type(value, __u64);
} tally_time_waits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16 * 1024);
	__type(key, __u64); /* address of the inet_timewait_sock */
	__type(value, __u8);
} sampled_timewaits SEC(".maps");

/* The SYN that this CPU's softirq is answering, and how many handshakes the
 * listener was in before, and connections had waiting. */
struct syn_segment {
	__u64 listener;
	__u64 skb;
	__u32 requests;
	__u32 waiting;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct syn_segment);
} syn_segments SEC(".maps");

/* Filters. The constants are frozen before loading, so an unused filter costs
 * nothing: the verifier removes its branch. */
const volatile __u32 filter_pid = 0;
const volatile __u16 filter_port = 0;
const volatile bool filter_by_netns = false;
const volatile bool filter_by_cgroup = false;
const volatile bool filter_by_cidr = false;
const volatile bool filter_by_tuple = false; /* by port or by address */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32); /* inode number of the namespace */
	__type(value, __u8);
} filter_netns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} filter_cgroup SEC(".maps");

struct cidr {
	__u32 prefix_length; /* IPv4 as ::ffff:a.b.c.d, so 96 longer */
	__u8  address[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cidr);
	__type(value, __u8);
} filter_cidr SEC(".maps");

/* Stream every single state change as well (trace --states). */
const volatile bool stream_states = false;

/* Sum connections up instead of sending a record for each; those whose mixed
 * sequence numbers are below this, a share of 2^63, are sent all the same. */
const volatile bool tally = false;
const volatile __u64 sample_below = 0;

/*
 * The loader's word on which hook tells what, so that nothing is told twice
 * and nothing waits for a result that will not come.
 */
const volatile bool connect_results = false;	/* some hook sees connect() return */
const volatile bool port_choices = false;	/* __inet_hash_connect is hooked */
const volatile bool time_wait_results = false;	/* inet_twsk_alloc is hooked */
const volatile bool udp_ports = false;		/* __inet_bind and its kin are hooked */
const volatile bool file_tables = false;	/* alloc_empty_file is hooked */
const volatile bool second_look = false;	/* of this program: another one looks first */
const volatile bool connect_by_syscall = false; /* connect()'s return stands in */

#endif
