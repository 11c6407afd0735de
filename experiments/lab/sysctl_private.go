package lab

// privateSysctls live in struct net: ipv4_net_table (net/ipv4/sysctl_net_ipv4.c),
// ipv6_table_template, netns_core_table and nf_ct_sysctl_table. A test writes each
// as the root of a user namespace, where the kernel lets no host-wide knob be
// written. Not here although near: tcp_mem, tcp_max_orphans, net.core's buffer
// sizes and netdev_max_backlog, nf_conntrack_max and nf_conntrack_buckets: one
// value for the whole host.
var privateSysctls = []string{
	"net.core.somaxconn",
	"net.ipv4.ip_autobind_reuse",
	"net.ipv4.ip_forward",
	"net.ipv4.ip_local_port_range",
	"net.ipv4.ip_local_reserved_ports",
	"net.ipv4.ip_nonlocal_bind",
	"net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.tcp_abort_on_overflow",
	"net.ipv4.tcp_adv_win_scale", // without effect since 6.6
	"net.ipv4.tcp_challenge_ack_limit",
	"net.ipv4.tcp_ecn",
	"net.ipv4.tcp_fastopen",
	"net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_keepalive_time",
	"net.ipv4.tcp_max_syn_backlog",
	"net.ipv4.tcp_max_tw_buckets",
	"net.ipv4.tcp_migrate_req",
	"net.ipv4.tcp_notsent_lowat",
	"net.ipv4.tcp_orphan_retries",
	"net.ipv4.tcp_retries1",
	"net.ipv4.tcp_retries2",
	"net.ipv4.tcp_rfc1337",
	"net.ipv4.tcp_rmem",
	"net.ipv4.tcp_slow_start_after_idle",
	"net.ipv4.tcp_syn_linear_timeouts", // 6.5
	"net.ipv4.tcp_syn_retries",
	"net.ipv4.tcp_synack_retries",
	"net.ipv4.tcp_syncookies",
	"net.ipv4.tcp_timestamps",
	"net.ipv4.tcp_tw_reuse",
	"net.ipv4.tcp_tw_reuse_delay", // 6.14
	"net.ipv4.tcp_wmem",
	"net.ipv6.auto_flowlabels",
	"net.ipv6.bindv6only",
	"net.ipv6.ip_nonlocal_bind",
	"net.netfilter.nf_conntrack_generic_timeout",
	"net.netfilter.nf_conntrack_tcp_be_liberal",
	"net.netfilter.nf_conntrack_tcp_loose",
	"net.netfilter.nf_conntrack_tcp_timeout_close",
	"net.netfilter.nf_conntrack_tcp_timeout_close_wait",
	"net.netfilter.nf_conntrack_tcp_timeout_established",
	"net.netfilter.nf_conntrack_tcp_timeout_fin_wait",
	"net.netfilter.nf_conntrack_tcp_timeout_last_ack",
	"net.netfilter.nf_conntrack_tcp_timeout_syn_recv",
	"net.netfilter.nf_conntrack_tcp_timeout_syn_sent",
	"net.netfilter.nf_conntrack_tcp_timeout_time_wait",
	"net.netfilter.nf_conntrack_udp_timeout",
	"net.netfilter.nf_conntrack_udp_timeout_stream",
}
