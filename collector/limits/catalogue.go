package limits

// Entry is a catalogue row: everything that is known about a limit beforehand.
type Entry struct {
	Name string // the value of brink.limit
	Unit string // of used and max, in the plural
	// Errno is what the refused program meets, as errno(3) names it; empty
	// where it meets silence.
	Errno string
	// Knob is the setting that moves the limit: a sysctl, an rlimit, a socket
	// option or an argument.
	Knob string
	// Meaning says in a sentence what runs out, and for whom.
	Meaning string
	// Advice says in a sentence or two what to change, and what it costs.
	Advice string
	// Source is where the kernel decides: function and, if it matters, version.
	Source string
	// Hooks are the rows of the loader's table that tell of a refusal.
	Hooks []string
}

// catalogue has one row a limit.
var catalogue = [count]Entry{
	EphemeralPorts: {
		Name: "ephemeral_ports", Unit: "ports", Errno: "EADDRNOTAVAIL",
		Knob:    "net.ipv4.ip_local_port_range",
		Meaning: "every local port that the kernel may choose is taken, by connections to the same destination or by sockets bound to them",
		Advice:  "widen the range or spread over more source or destination addresses; connections kept open cost none in TIME_WAIT; IP_BIND_ADDRESS_NO_PORT where the program binds first",
		Source:  "__inet_hash_connect, inet_csk_find_open_port",
		Hooks:   []string{"port_choice", "bind", "udp_port"},
	},
	FourTuple: {
		Name: "four_tuple", Unit: "connections", Errno: "EADDRNOTAVAIL",
		Knob:    "bind(2)",
		Meaning: "the socket is bound to a port, and a connection from it to this very destination exists already",
		Advice:  "let the kernel choose the port, or change any one of the four: source or destination address or port",
		Source:  "__inet_check_established",
		Hooks:   []string{"port_choice"},
	},
	BindConflict: {
		Name: "bind_conflict", Unit: "sockets", Errno: "EADDRINUSE",
		Knob:    "SO_REUSEADDR, SO_REUSEPORT",
		Meaning: "the wanted port is held by another socket whose address overlaps",
		Advice:  "stop the holder, bind another address or port, or set the option that the conflict names on both sockets",
		Source:  "inet_csk_bind_conflict",
		Hooks:   []string{"bind", "udp_port"},
	},
	FileDescriptors: {
		Name: "file_descriptors", Unit: "descriptors", Errno: "EMFILE",
		Knob:    "RLIMIT_NOFILE",
		Meaning: "the process has as many files and sockets open as it may",
		Advice:  "raise LimitNOFILE= or ulimit -n (up to fs.nr_open), or close what leaks",
		Source:  "alloc_fd",
		Hooks:   []string{"descriptors"},
	},
	FileTable: {
		Name: "file_table", Unit: "files", Errno: "ENFILE",
		Knob:    "fs.file-max",
		Meaning: "the host has as many files and sockets open as it may",
		Advice:  "raise fs.file-max: about 1 KiB of kernel memory a file; root passes over it",
		Source:  "alloc_empty_file",
		Hooks:   []string{"file_table"},
	},
	AcceptQueue: {
		Name: "accept_queue", Unit: "connections",
		Knob:    "listen(2) backlog, net.core.somaxconn",
		Meaning: "a listener's finished handshakes wait for accept(), and no more fit: SYNs are dropped and clients retransmit",
		Advice:  "accept faster; a larger backlog (capped by somaxconn) only bridges bursts",
		Source:  "sk_acceptq_is_full in tcp_conn_request, tcp_v4_syn_recv_sock",
		Hooks:   []string{"accept_queue"},
	},
	TimeWaitBuckets: {
		Name: "time_wait_buckets", Unit: "sockets",
		Knob:    "net.ipv4.tcp_max_tw_buckets",
		Meaning: "no timewait socket could be had: the connection skipped TIME_WAIT, and late segments may meet its successor",
		Advice:  "raise it: some 250 bytes of kernel memory each; fewer active closes need fewer",
		Source:  "inet_twsk_alloc",
		Hooks:   []string{"time_wait_enter"},
	},
	SYNQueue: {
		Name: "syn_queue", Unit: "requests",
		Knob:    "listen(2) backlog, net.core.somaxconn, net.ipv4.tcp_max_syn_backlog, net.ipv4.tcp_syncookies",
		Meaning: "more handshakes wait for their last ACK than the listener may hold: SYN cookies answer, or SYNs are dropped",
		Advice:  "leave SYN cookies on; a larger backlog if the load is honest",
		Source:  "inet_csk_reqsk_queue_is_full in tcp_conn_request",
		Hooks:   []string{"syn_queue"},
	},
	TCPMemory: {
		Name: "tcp_memory", Unit: "pages", Errno: "ENOBUFS",
		Knob:    "net.ipv4.tcp_mem",
		Meaning: "all TCP buffers of the host together have passed a threshold of tcp_mem: buffers shrink, then allocations fail",
		Advice:  "raise tcp_mem if the host has the memory, or shrink tcp_rmem and tcp_wmem, or hold fewer connections with full buffers",
		Source:  "__sk_mem_raise_allocated, tcp_enter_memory_pressure",
		Hooks:   []string{"tcp_memory"},
	},
	Orphans: {
		Name: "orphans", Unit: "sockets",
		Knob:    "net.ipv4.tcp_max_orphans",
		Meaning: "too many closed sockets still have data to send: the kernel resets them",
		Advice:  "raise it: up to 64 KiB of unswappable memory each; or find why peers do not read to the end",
		Source:  "tcp_check_oom",
		Hooks:   []string{"orphans"},
	},
	ConntrackTable: {
		Name: "conntrack_table", Unit: "entries",
		Knob:    "net.netfilter.nf_conntrack_max",
		Meaning: "the connection tracking table is full: packets of new connections are dropped",
		Advice:  "raise it (some 320 bytes each, and nf_conntrack_buckets with it), shorten timeouts, or do not track what needs no NAT",
		Source:  "__nf_conntrack_alloc",
		Hooks:   []string{"conntrack_table"},
	},
	NATPorts: {
		Name: "nat_ports", Unit: "ports",
		Knob:    "the NAT rule's address and port range",
		Meaning: "the NAT has no free port for another connection to this destination: the packet is dropped",
		Advice:  "widen the rule's port range or give it more addresses",
		Source:  "nf_nat_l4proto_unique_tuple, __nf_conntrack_confirm",
		Hooks:   []string{"nat_ports"},
	},
	Threads: {
		Name: "threads", Unit: "threads", Errno: "EAGAIN",
		Knob:    "RLIMIT_NPROC, pids.max, kernel.threads-max, kernel.pid_max",
		Meaning: "no further thread or process can be made: for the user, for the cgroup, or on the host",
		Advice:  "raise the one that is full, or hold connections in an event loop instead of a thread each",
		Source:  "copy_process",
		Hooks:   []string{"threads"},
	},
}
