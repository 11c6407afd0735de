/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * kernel.h - the few kernel fields that brink reads, and nothing else.
 *
 * Names are the kernel's; offsets are not: preserve_access_index makes each
 * access a CO-RE relocation, so flat members here find theirs inside the
 * kernel's anonymous unions. A test holds every field against kernel BTF.
 */
#ifndef BRINK_KERNEL_H
#define BRINK_KERNEL_H

#include <linux/types.h>

#define AF_INET		2
#define AF_INET6	10
#define IPPROTO_TCP	6
#define IPPROTO_UDP	17
#define SOCK_STREAM	1
#define S_IFMT		0170000
#define S_IFSOCK	0140000
#define RLIMIT_NPROC	6
#define RLIMIT_NOFILE	7
#define RLIM_INFINITY	0xfffffffffffffffful
#define SHUTDOWN_MASK	3

#define EINTR		4
#define EAGAIN		11
#define ENOMEM		12
#define ENFILE		23
#define EMFILE		24
#define EPIPE		32
#define EADDRINUSE	98
#define EADDRNOTAVAIL	99
#define ENETUNREACH	101
#define ECONNRESET	104
#define ETIMEDOUT	110
#define ECONNREFUSED	111
#define EHOSTUNREACH	113
#define EINPROGRESS	115
#define ERESTARTSYS	512 /* include/linux/errno.h: the kernel's own, as those above it */

/* include/net/tcp_states.h */
enum tcp_state {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
};

/* include/net/sock.h, enum sock_flags: bits of skc_flags */
#define SOCK_DEAD	(1ul << 0)
#define SOCK_DONE	(1ul << 1)

/* include/net/tcp.h, enum tcp_tw_status */
#define TCP_TW_SYN	3

/* include/uapi/linux/netfilter/nf_conntrack_common.h */
#define IPS_SRC_NAT	(1 << 4)
#define NFCT_PTRMASK	7
#define NF_DROP		0

/* Read whole, never by member: its own union is named differently per header. */
struct in6_addr {
	__u8 bytes[16];
};

/* Likewise: its members are unions of unions. Laid out like this since 2.6.20
 * (include/net/netfilter/nf_conntrack_tuple.h). */
struct nf_conntrack_tuple {
	__u8   source[16];
	__be16 source_port;
	__u16  family;
	__u8   destination[16];
	__be16 destination_port;
	__u8   protocol;
	__u8   direction;
};

/* These are never laid out: CO-RE knows where the kernel keeps each field. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct inet_ehash_bucket;

struct inet_hashinfo {
	struct inet_ehash_bucket *ehash;
	unsigned int		  ehash_mask;
};

/* 6.0 made a refcount of tw_count, which begins at one */
struct inet_timewait_death_row {
	struct {
		int counter;
	} tw_count;
	struct {
		struct {
			int counter;
		} refs;
	} tw_refcount;
	struct inet_hashinfo *hashinfo;
	int		      sysctl_max_tw_buckets;
};

/* high << 16 | low */
struct local_ports {
	__u32 range;
};

struct local_ports___before_6_8 {
	int range[2];
};

struct netns_ipv4 {
	struct inet_timewait_death_row tcp_death_row; /* a pointer from 5.18 to 6.0 */
	struct local_ports	       ip_local_ports;
	__u8			       sysctl_tcp_syncookies;
	int			       sysctl_max_syn_backlog;
};

struct net {
	struct ns_common  ns;
	struct netns_ipv4 ipv4;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__be32		skc_daddr;
	__be32		skc_rcv_saddr;
	__be16		skc_dport;
	__u16		skc_num;
	unsigned short	skc_family;
	unsigned char	skc_state;
	possible_net_t	skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	struct {
		long long counter;
	} skc_cookie;
	unsigned long skc_flags;
	unsigned char skc_reuse : 4;
	unsigned char skc_reuseport : 1;
	unsigned char skc_ipv6only : 1;
	int	      skc_bound_dev_if;
	unsigned int  skc_hash;
	struct proto *skc_prot;
	struct hlist_nulls_node {
		struct hlist_nulls_node *next;
	} skc_nulls_node;
};

struct proto {
	void	      *memory_allocated; /* an atomic_long_t */
	unsigned long *memory_pressure;
	long	      *sysctl_mem;
};

struct sock {
	struct sock_common __sk_common;
	int		   sk_err;
	__u16		   sk_protocol;
	__u8		   sk_shutdown;
	__u32		   sk_ack_backlog;
	__u32		   sk_max_ack_backlog;
	struct socket	  *sk_socket;
};

struct inet_sock {
	__be16 inet_sport;
	__u32  local_port_range; /* high << 16 | low; from 6.3 to 6.7 a struct, which is not read */
};

struct request_sock_queue {
	struct {
		int counter;
	} qlen;
};

struct inet_connection_sock {
	struct request_sock_queue icsk_accept_queue;
	__u8			  icsk_retransmits;
	__u8			  icsk_probes_out;
};

struct tcp_sock {
	__u32 snd_una;
	__u32 rcv_nxt;
	__u64 bytes_received;
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u32 total_retrans;
	__u32 srtt_us; /* in eighths */
	__u64 tcp_mstamp; /* CLOCK_MONOTONIC in us, of the last segment or timer (4.13) */
};

struct timer_list {
	unsigned long expires; /* jiffies */
};

struct inet_timewait_sock {
	struct sock_common     __tw_common;
	volatile unsigned char tw_substate;
	struct timer_list      tw_timer;
};

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
};

struct nf_conn {
	struct nf_conntrack_tuple_hash tuplehash[2];
	unsigned long		       status;
	possible_net_t		       ct_net;
};

struct sk_buff {
	unsigned long  _nfct; /* a struct nf_conn, with flags in its lowest bits */
	unsigned char *head;
	__u16	       network_header;
	__u16	       transport_header;
};

struct inode {
	unsigned short i_mode;
	unsigned long  i_ino;
};

struct file {
	struct inode *f_inode;
	void	     *private_data;
};

struct fdtable {
	unsigned int  max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct socket {
	struct file *file;
	struct sock *sk;
};

struct rlimit {
	unsigned long rlim_cur;
};

struct signal_struct {
	struct rlimit rlim[16];
};

struct nsproxy {
	struct net *net_ns;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct cred {
	struct {
		__u32 val;
	} uid;
};

struct task_struct {
	struct task_struct   *group_leader;
	int		      tgid;
	const struct cred    *cred;
	struct css_set	     *cgroups;
	char		      comm[16];
	struct files_struct  *files;
	struct signal_struct *signal;
	struct nsproxy	     *nsproxy;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long di, si, dx, cx, r8, r9;
	unsigned long ax, sp, ip, bp, orig_ax, r10;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	unsigned long regs[31];
	unsigned long sp, pc, pstate;
};
struct pt_regs {
	struct user_pt_regs user_regs;
	unsigned long	    orig_x0;
	int		    syscallno;
};
#endif

#pragma clang attribute pop
#pragma clang diagnostic pop

struct sockaddr_in {
	__u16  sin_family;
	__be16 sin_port;
	__be32 sin_addr;
};

struct sockaddr_in6 {
	__u16  sin6_family;
	__be16 sin6_port;
	__be32 sin6_flowinfo;
	__u8   sin6_addr[16];
};

#endif
