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
#define SOCK_STREAM	1
#define S_IFMT		0170000
#define S_IFSOCK	0140000
#define RLIMIT_NOFILE	7
#define SHUTDOWN_MASK	3

#define EINPROGRESS	115
#define EADDRINUSE	98
#define EADDRNOTAVAIL	99
#define EMFILE		24
#define ENFILE		23

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

/* Read whole, never by member: its own union is named differently per header. */
struct in6_addr {
	__u8 bytes[16];
};

/* These are never laid out: CO-RE knows where the kernel keeps each field. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
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
};

struct sock {
	struct sock_common __sk_common;
	int		   sk_err;
	__u16		   sk_protocol;
	__u8		   sk_shutdown;
	__u32		   sk_ack_backlog;
	__u32		   sk_max_ack_backlog;
};

struct inet_sock {
	__be16 inet_sport;
};

struct tcp_sock {
	__u32 snd_una;
	__u32 rcv_nxt;
	__u64 bytes_received;
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u32 total_retrans;
};

struct timer_list {
	unsigned long expires; /* jiffies */
};

struct inet_timewait_sock {
	struct sock_common     __tw_common;
	volatile unsigned char tw_substate;
	struct timer_list      tw_timer;
};

struct inet_timewait_death_row {
	int sysctl_max_tw_buckets;
};

struct sk_buff {
	unsigned char *head;
	__u16	       network_header;
	__u16	       transport_header;
};

struct inode {
	unsigned short i_mode;
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

struct task_struct {
	struct task_struct   *group_leader;
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
