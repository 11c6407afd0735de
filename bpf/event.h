/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * event.h - the one contract with user space.
 *
 * Everything that leaves the kernel through the ring buffer is one of the
 * structs below, and bpf2go mirrors each of them, and each enum, into Go. The
 * layout has no hidden padding: clang's -Wpadded is an error here, so that a
 * size-checked cast is a safe decoder.
 */
#ifndef BRINK_EVENT_H
#define BRINK_EVENT_H

#include <linux/types.h>

/* What a record is. */
enum event_kind {
	EVENT_ENDPOINT_ENDED = 1, /* struct endpoint_ended */
	EVENT_STATE_CHANGED  = 2, /* struct state_changed, only when asked for */
	EVENT_REFUSED        = 3, /* struct refused */
	EVENT_TIME_WAIT      = 4, /* struct time_wait */
};

/* Which hook saw it: one row of the loader's table each. */
enum hook {
	HOOK_STATE = 1,
	HOOK_CONNECT,
	HOOK_ACCEPT,
	HOOK_BIND,
	HOOK_PORT_CHOICE,
	HOOK_TIME_WAIT_ENTER,
	HOOK_TIME_WAIT_LEAVE,
	HOOK_TIME_WAIT_REUSE_CONNECT,
	HOOK_TIME_WAIT_REUSE_SYN,
	HOOK_DESCRIPTORS,
	HOOK_ACCEPT_QUEUE,
	HOOK_UDP_PORT,
	HOOK_FILE_TABLE,
	HOOK_SYN_QUEUE,
	HOOK_TCP_MEMORY,
	HOOK_ORPHANS,
	HOOK_CONNTRACK_TABLE,
	HOOK_NAT_PORTS,
	HOOK_THREADS,
	HOOK_COUNT,
};

/* Which limit said no. */
enum limit {
	LIMIT_NONE = 0,
	LIMIT_EPHEMERAL_PORTS,	 /* no port left to choose from */
	LIMIT_FOUR_TUPLE,	 /* this very 4-tuple exists already */
	LIMIT_BIND_CONFLICT,	 /* this very port is held by another socket */
	LIMIT_FILE_DESCRIPTORS,	 /* RLIMIT_NOFILE, EMFILE */
	LIMIT_FILE_TABLE,	 /* fs.file-max, ENFILE */
	LIMIT_ACCEPT_QUEUE,	 /* backlog + 1 connections wait for accept() */
	LIMIT_TIME_WAIT_BUCKETS, /* net.ipv4.tcp_max_tw_buckets */
	LIMIT_SYN_QUEUE,	 /* handshakes that wait for their last ACK */
	LIMIT_TCP_MEMORY,	 /* net.ipv4.tcp_mem, pages */
	LIMIT_ORPHANS,		 /* net.ipv4.tcp_max_orphans */
	LIMIT_CONNTRACK_TABLE,	 /* net.netfilter.nf_conntrack_max */
	LIMIT_NAT_PORTS,	 /* no port left in the NAT's pool */
	LIMIT_THREADS,		 /* RLIMIT_NPROC, pids.max, threads-max, pid_max: EAGAIN */
	LIMIT_COUNT,
};

/* How a connection failed that did not end in peace; counted per kind. */
enum failure {
	FAILURE_NONE = 0,
	FAILURE_REFUSED,		/* a reset answered the SYN */
	FAILURE_RESET,			/* a reset ended it later */
	FAILURE_SYN_TIMEOUT,		/* tcp_syn_retries SYNs went unanswered */
	FAILURE_RETRANSMISSION_TIMEOUT, /* data did, tcp_retries2 or TCP_USER_TIMEOUT */
	FAILURE_PROBE_TIMEOUT,		/* keepalive or zero window probes did */
	FAILURE_UNREACHABLE,		/* no route, or ICMP said so */
	FAILURE_NO_PORT,		/* EADDRNOTAVAIL: a limit hit says which */
	FAILURE_OTHER,
	FAILURE_COUNT,
};

/* What became of it where the refused one is given no errno. */
enum outcome {
	OUTCOME_NONE = 0,
	OUTCOME_DROPPED,    /* the segment or packet was dropped */
	OUTCOME_SYN_COOKIE, /* a SYN cookie answered */
	OUTCOME_PRESSURE,   /* buffers shrink from now on */
	OUTCOME_RESET,	    /* the connection was reset */
};

enum role {
	ROLE_UNKNOWN = 0, /* older than brink, or its birth was not tracked */
	ROLE_CLIENT,
	ROLE_SERVER,
	ROLE_LISTENER, /* kept to name the owner of a full queue; no record of its own */
};

/* The states that get a time of their own, in struct endpoint.at. */
enum stage {
	STAGE_SYN_SENT = 0,
	STAGE_SYN_RECV,
	STAGE_ESTABLISHED,
	STAGE_FIN_WAIT1,
	STAGE_FIN_WAIT2,
	STAGE_CLOSE_WAIT,
	STAGE_LAST_ACK,
	STAGE_CLOSING,
	STAGE_COUNT,
};

enum endpoint_flag {
	/* connect() failed at once; the errno comes when the call returns. */
	ENDPOINT_AWAITS_RESULT = 1 << 0,
	/* The end was seen and the birth was not. */
	ENDPOINT_PARTIAL = 1 << 1,
	/* A timewait socket took the tuple over: true TIME_WAIT ... */
	ENDPOINT_TIME_WAIT = 1 << 2,
	/* ... or an orphan waiting for the peer's FIN as a timewait socket. */
	ENDPOINT_TIME_WAIT_FIN_WAIT2 = 1 << 3,
	/* No timewait socket could be had: tcp_max_tw_buckets. */
	ENDPOINT_TIME_WAIT_OVERFLOW = 1 << 4,
	/* The owner is a task of the cgroup that the filter names. */
	ENDPOINT_IN_CGROUP = 1 << 5,
	/* The application closed before the handshake was over. */
	ENDPOINT_ABANDONED = 1 << 6,
	/* Its record leaves though connections are tallied. */
	ENDPOINT_SAMPLED = 1 << 7,
};

enum time_wait_event {
	TIME_WAIT_ENTER = 1, /* a timewait socket of kind fin_wait_2 turned true */
	TIME_WAIT_LEAVE,
	TIME_WAIT_REUSE_CONNECT,
	TIME_WAIT_REUSE_SYN,
	TIME_WAIT_OVERFLOW, /* in sums alone: an endpoint's record says it otherwise */
};

/* What is counted rather than sent; read from the map `counts`. */
enum count {
	COUNT_EMITTED = 0, /* records that went into the ring */
	COUNT_LOST,	   /* records that the full ring refused */
	COUNT_UNTRACKED,   /* endpoints that the full map refused */
	COUNT_MISSED,	   /* returns whose entry was not seen (kretprobe) */
	COUNT_RESCUED,	   /* state changes that the second program took over */
	COUNT_RESCUED_TIME_WAIT, /* timewait sockets found, or missed, without their hook */
	COUNT_COUNT,
};

/* One 4-tuple as its owner sees it. IPv4 sits in the first 4 bytes. */
struct tuple {
	__u8  local[16];
	__u8  peer[16];
	__u16 local_port; /* host order; 0 is "none chosen yet" */
	__u16 peer_port;
	__u16 family;	  /* AF_INET or AF_INET6 */
	__u16 protocol;	  /* IPPROTO_UDP; 0 is TCP */
};

/* A task, captured in its own context. pid 0 is "unknown". */
struct owner {
	__u64 cgroup; /* id in the cgroup v2 hierarchy */
	__u32 pid;    /* thread group, as the initial pid namespace numbers it */
	__u32 uid;
	char  comm[16];
};

/* One endpoint's life so far: the value of the map `endpoints`. */
struct endpoint {
	__u64	     at[STAGE_COUNT]; /* boot-time ns; 0: never in this state */
	struct tuple tuple;
	struct owner owner;
	__u32	     netns;
	__u32	     isn_local; /* initial sequence numbers, once established */
	__u32	     isn_peer;
	__u8	     role;
	__u8	     flags;
	__u8	     pad[2];
	/* Its connect() failed by an answer from the network, or for want of one, and
	 * that has been told: the call's return brings the same error and is no second
	 * failure. The number of the socket's inode, where the system call's return is
	 * a hook: a socket may go unseen (SO_LINGER), and the slab gives addresses again. */
	__u32	     told;
	__u32	     pad2;
};

struct event_header {
	enum event_kind kind;
	enum hook	hook;
};

struct endpoint_ended {
	struct event_header header;
	struct endpoint	    endpoint;
	__u64		    ended;  /* boot-time ns */
	__u64		    cookie; /* joins sock_diag's; 0 when never asked for */
	__u64		    bytes_sent; /* payload, each byte once */
	__u64		    bytes_received;
	__u32		    retransmits;
	__u32		    error;	/* errno, positive; 0 for none */
	__u32		    last_state; /* the TCP state it ended from */
	__u8		    failure;	/* enum failure */
	__u8		    pad[3];
};

struct state_changed {
	struct event_header header;
	struct tuple	    tuple;
	struct owner	    owner;
	__u64		    at;
	__u64		    socket; /* the same for all changes of one socket */
	__u32		    netns;
	__u32		    old_state;
	__u32		    new_state;
	enum role	    role;
};

/* What a socket had asked for when its bind() or listen() was refused. */
struct bind_options {
	__u8  reuse;	 /* SO_REUSEADDR */
	__u8  reuseport; /* SO_REUSEPORT */
	__u8  v6only;	 /* IPV6_V6ONLY */
	__u8  listening; /* refused by listen(), not bind() */
	__u32 device;	 /* SO_BINDTODEVICE, an interface's index; 0 for none */
};

/* Both ends belong to it. */
struct port_range {
	__u16 low;
	__u16 high;
};

struct refused {
	struct event_header header;
	struct tuple	    tuple;
	struct owner	    owner;
	__u64		    at;
	__u64		    used;
	__u64		    max; /* 0: not known in the kernel's context */
	__u32		    netns;
	enum limit	    limit;
	__u32		    error; /* errno, positive; 0 where none is given */
	__u8		    role;
	__u8		    outcome; /* enum outcome */
	__u8		    pad[6];
	struct port_range   range; /* the kernel's choice, where all of it is taken */
	struct bind_options bind;  /* of a refused bind() or listen() */
};

/*
 * Refusals that come in a storm: one process that is refused the same thing
 * again and again. The first TOLD_A_SECOND of each second are records; those
 * beyond are counted here, and user space tells of them once a second.
 */
struct storm_key {
	enum limit limit; /* LIMIT_NONE: connects that failed */
	__u32	   error;
	__u32	   netns;
	__u32	   pid; /* of the victim; 0 where unknown */
};

struct storm {
	__u64	     second; /* boot-time ns when the current one began */
	__u64	     told;   /* in that second */
	__u64	     untold; /* ever */
	struct owner owner;
	__u8	     failure; /* enum failure, of connects */
	__u8	     pad[7];
};

/*
 * The sums of a tally, where connections have no records of their own: per
 * namespace, role, family and way of failing. They opened with no failure.
 */
struct lives_key {
	__u32 netns;
	__u8  role;
	__u8  family;  /* AF_INET or AF_INET6 */
	__u8  failure; /* enum failure; FAILURE_NONE for those that ended in peace */
	__u8  pad;
};

#define TALLY_BUCKETS 16

struct lives {
	__u64 opened; /* reached ESTABLISHED */
	__u64 ended;
	__u64 bytes_sent; /* payload, as in struct endpoint_ended */
	__u64 bytes_received;
	__u64 retransmits;
	__u64 handshake_ns; /* the sums of what the histograms count */
	__u64 lifetime_ns;
	__u64 time_waits; /* timewait sockets that came after them, */
	__u64 orphans;	  /* those of kind fin_wait_2, */
	__u64 overflows;  /* and those that could not be had */
	__u64 handshake[TALLY_BUCKETS];
	__u64 lifetime[TALLY_BUCKETS];
};

struct time_waits_key {
	__u32 netns;
	__u8  event;	/* enum time_wait_event */
	__u8  substate; /* TCP_TIME_WAIT or TCP_FIN_WAIT2 */
	__u8  pad[2];
};

struct time_wait {
	struct event_header header;
	struct tuple	    tuple;
	__u64		    at;
	__u32		    netns;
	enum time_wait_event event;
	__u32		    substate; /* TCP_TIME_WAIT or TCP_FIN_WAIT2 */
	__u32		    pad;
};

#endif
