package loader

import (
	"fmt"
	"slices"

	"brink/bpf"
)

// A Hook is something to be seen, and the ways to see it, best first.
type Hook struct {
	ID    bpf.BrinkHook
	Name  string
	Tells string
	Ways  []Way
	// Without says what is not known when no way works.
	Without string
}

// A Way is the set of programs that together give a hook on one rung.
type Way struct {
	Rung     Rung
	Programs []string // names in the BPF object; none for Poll
	// With names the hook whose programs tell this as well, instead of own ones.
	With bpf.BrinkHook
	// Lost says what this way does not see and the best one does.
	Lost string
}

const (
	lostIOUring    = "calls made through io_uring"
	lostOtherCalls = "refusals of calls other than socket, accept, open, pipe, dup, fcntl, epoll_create and eventfd"
)

// lostConntrack: a module's functions can be hooked only once it is loaded.
const lostConntrack = "which connection; the namespace's count of dropped packets is read once a second " +
	"(/proc/net/stat/nf_conntrack), and a full table then tells the two apart"

// System calls whose return a program is attached to; those that an
// architecture does not have are left out.
var (
	descriptorCalls = []string{
		"socket", "accept", "accept4", "openat", "open", "pipe2", "pipe", "dup", "fcntl", "epoll_create1", "eventfd2", "socketpair",
	}
	cloneCalls = []string{"clone", "clone3", "fork", "vfork"}
)

// sysExit begins the tracepoint of a system call's return.
const sysExit = "syscalls/sys_exit_"

// on names one program once for each system call whose return it is attached to.
func on(program string, calls []string) []string {
	names := make([]string, len(calls))
	for i, call := range calls {
		names[i] = program + "@" + sysExit + call
	}
	return names
}

// hooks is the table of contents of what brink sees.
var hooks = []Hook{
	{
		ID: bpf.BrinkHookHOOK_STATE, Name: "state",
		Tells:   "every TCP state change, and with it each connection's life",
		Without: "no connection is seen at all",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{
				bpf.BrinkProgFentryTcpSetState,
				bpf.BrinkProgFexitInetCskCloneLock,
				bpf.BrinkProgFexitInetCskListenStart,
				bpf.BrinkProgRawTpInetSockSetStateAgain,
			}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeTcpSetState,
				bpf.BrinkProgKretprobeInetCskCloneLock,
				bpf.BrinkProgKprobeInetCskListenStart,
				bpf.BrinkProgKretprobeInetCskListenStart,
				bpf.BrinkProgRawTpInetSockSetStateAgain,
			}},
			{Rung: Tracepoint, Programs: []string{
				bpf.BrinkProgRawTpInetSockSetState, bpf.BrinkProgRawTpInetSockSetStateAgain, // in this order
			}},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_CONNECT, Name: "connect",
		Tells:   "the result of connect(), its errno and its owner",
		Without: "a connect that fails at once has no errno",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{
				bpf.BrinkProgFexitTcpV4Connect, bpf.BrinkProgFexitTcpV6Connect,
			}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeTcpV4Connect, bpf.BrinkProgKretprobeTcpV4Connect,
				bpf.BrinkProgKprobeTcpV6Connect, bpf.BrinkProgKretprobeTcpV6Connect,
			}},
			{Rung: Tracepoint, Programs: []string{bpf.BrinkProgTpSysExitConnect}, Lost: lostIOUring},
			{Rung: Tracepoint, Programs: []string{
				bpf.BrinkProgTpSysEnterConnect, bpf.BrinkProgTpSysExitConnectBefore515,
			}, Lost: lostIOUring},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_ACCEPT, Name: "accept",
		Tells:   "which process took a connection from its queue",
		Without: "a server's connections have no owner",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFexitInetCskAccept}},
			{Rung: Kprobe, Programs: []string{bpf.BrinkProgKretprobeInetCskAccept}},
			{Rung: Tracepoint, Programs: []string{
				bpf.BrinkProgTpSysExitAccept, bpf.BrinkProgTpSysExitAccept4,
			}, Lost: lostIOUring},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_BIND, Name: "bind",
		Tells:   "bind() and listen() that find the port taken, or no port at all",
		Without: "refused binds are not seen",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFexitInetCskGetPort}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeInetCskGetPort, bpf.BrinkProgKretprobeInetCskGetPort,
			}},
			{Rung: Tracepoint, Programs: []string{
				bpf.BrinkProgTpSysExitBind, bpf.BrinkProgTpSysExitListen,
			}, Lost: lostIOUring},
			{Rung: Tracepoint, Programs: []string{
				bpf.BrinkProgTpSysEnterBind, bpf.BrinkProgTpSysExitBindBefore515,
				bpf.BrinkProgTpSysEnterListen, bpf.BrinkProgTpSysExitListenBefore515,
			}, Lost: lostIOUring},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_PORT_CHOICE, Name: "port_choice",
		Tells:   "connect() that finds no local port left, or the 4-tuple taken",
		Without: "EADDRNOTAVAIL is not told apart",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFexitInetHashConnect}},
			{Rung: Kprobe, Programs: []string{bpf.BrinkProgKretprobeInetHashConnect}},
			{Rung: Tracepoint, With: bpf.BrinkHookHOOK_CONNECT, Lost: lostIOUring},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_TIME_WAIT_ENTER, Name: "time_wait_enter",
		Tells:   "a timewait socket takes over a tuple, or none can be had",
		Without: "TIME_WAIT is not seen",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFexitInetTwskAlloc}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeInetTwskAlloc, bpf.BrinkProgKretprobeInetTwskAlloc,
			}},
			{
				Rung: Tracepoint, With: bpf.BrinkHookHOOK_STATE,
				Lost: "from 5.18 to 6.0, overflow (tcp_max_tw_buckets): told as an entry",
			},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_TIME_WAIT_LEAVE, Name: "time_wait_leave",
		Tells:   "a timewait socket ends and its tuple is free again",
		Without: "when a tuple is free again; the number of timewait sockets stays readable in /proc/net/sockstat",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFentryInetTwskKill}},
			{Rung: Kprobe, Programs: []string{bpf.BrinkProgKprobeInetTwskKill}},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_TIME_WAIT_REUSE_CONNECT, Name: "time_wait_reuse_connect",
		Tells:   "a connect() takes over a tuple in TIME_WAIT (tcp_tw_reuse)",
		Without: "reuse by connect(); the namespace's counter TcpExt TWRecycled stays readable",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFexitTcpTwskUnique}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeTcpTwskUnique, bpf.BrinkProgKretprobeTcpTwskUnique,
			}},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_TIME_WAIT_REUSE_SYN, Name: "time_wait_reuse_syn",
		Tells:   "a new SYN takes over a tuple in TIME_WAIT; FIN_WAIT2 orphans turn into TIME_WAIT",
		Without: "reuse by a SYN, and when an orphan's FIN_WAIT2 turned into TIME_WAIT, unless its peer is in the same namespace",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{
				bpf.BrinkProgFentryTcpTimewaitStateProcess, bpf.BrinkProgFexitTcpTimewaitStateProcess,
			}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeTcpTimewaitStateProcess, bpf.BrinkProgKretprobeTcpTimewaitStateProcess,
			}},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_DESCRIPTORS, Name: "descriptors",
		Tells:   "no file descriptor left for a process (EMFILE)",
		Without: "EMFILE is not seen",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFexitAllocFdBefore511}},
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFexitAllocFd}},
			{Rung: Kprobe, Programs: []string{bpf.BrinkProgKretprobeAllocFdBefore511}},
			{Rung: Kprobe, Programs: []string{bpf.BrinkProgKretprobeAllocFd}},
			{Rung: Tracepoint, Programs: on(bpf.BrinkProgTpSysExitDescriptor, descriptorCalls), Lost: lostOtherCalls},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_ACCEPT_QUEUE, Name: "accept_queue",
		Tells:   "a listener whose accept queue is full",
		Without: "full accept queues are not seen",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{
				bpf.BrinkProgFentryTcpConnRequest, bpf.BrinkProgFexitTcpConnRequest,
				bpf.BrinkProgFexitTcpV4SynRecvSock, bpf.BrinkProgFexitTcpV6SynRecvSock,
			}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeTcpConnRequest, bpf.BrinkProgKretprobeTcpConnRequest,
				bpf.BrinkProgKprobeTcpV4SynRecvSock, bpf.BrinkProgKretprobeTcpV4SynRecvSock,
				bpf.BrinkProgKprobeTcpV6SynRecvSock, bpf.BrinkProgKretprobeTcpV6SynRecvSock,
			}},
			{
				Rung: Poll,
				Lost: "which client was refused, and when exactly: the namespace's ListenOverflows is read once a second",
			},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_UDP_PORT, Name: "udp_port",
		Tells:   "a UDP socket that finds its port taken, or no port at all",
		Without: "refused UDP binds are not seen",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{
				bpf.BrinkProgFexitInetBind, bpf.BrinkProgFexitInet6Bind, bpf.BrinkProgFexitInetAutobind,
			}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeInetBind, bpf.BrinkProgKretprobeInetBind,
				bpf.BrinkProgKprobeInet6Bind, bpf.BrinkProgKretprobeInet6Bind,
				bpf.BrinkProgKprobeInetAutobind, bpf.BrinkProgKretprobeInetAutobind,
			}},
			{
				Rung: Tracepoint, With: bpf.BrinkHookHOOK_BIND,
				Lost: "no port left at sendto() and its kin; " + lostIOUring,
			},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_FILE_TABLE, Name: "file_table",
		Tells:   "no file left on the host (ENFILE)",
		Without: "ENFILE is not seen",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFexitAllocEmptyFile}},
			{Rung: Kprobe, Programs: []string{bpf.BrinkProgKretprobeAllocEmptyFile}},
			{Rung: Tracepoint, With: bpf.BrinkHookHOOK_DESCRIPTORS, Lost: lostOtherCalls},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_SYN_QUEUE, Name: "syn_queue",
		Tells:   "a listener with too many handshakes under way: SYN cookies, or dropped SYNs",
		Without: "full SYN queues are not seen",
		Ways: []Way{
			{Rung: Fentry, With: bpf.BrinkHookHOOK_ACCEPT_QUEUE},
			{Rung: Kprobe, With: bpf.BrinkHookHOOK_ACCEPT_QUEUE},
			{
				Rung: Poll,
				Lost: "which client and which listener; TcpExt TCPReqQFullDoCookies and TCPReqQFullDrop are read once a second",
			},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_TCP_MEMORY, Name: "tcp_memory",
		Tells:   "TCP's buffers have passed a threshold of tcp_mem: pressure, or refused",
		Without: "refused TCP memory is not seen",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{
				bpf.BrinkProgFentryTcpEnterMemoryPressure, bpf.BrinkProgRawTpSockExceedBufLimit,
			}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeTcpEnterMemoryPressure, bpf.BrinkProgRawTpSockExceedBufLimit,
			}},
			{
				Rung: Tracepoint, Programs: []string{bpf.BrinkProgRawTpSockExceedBufLimit},
				Lost: "when pressure begins",
			},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_ORPHANS, Name: "orphans",
		Tells:   "a closed socket is reset, because there are too many of them",
		Without: "resets of orphans are not seen",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFexitTcpCheckOom}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeTcpCheckOom, bpf.BrinkProgKretprobeTcpCheckOom,
			}},
			{Rung: Poll, Lost: "whose they were; TcpExt TCPAbortOnMemory is read once a second"},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_CONNTRACK_TABLE, Name: "conntrack_table",
		Tells:   "a new connection's packet is dropped, because the table is full",
		Without: "a full connection tracking table is not seen",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFexitNfConntrackAlloc}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeNfConntrackAlloc, bpf.BrinkProgKretprobeNfConntrackAlloc,
			}},
			{Rung: Poll, Lost: lostConntrack},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_NAT_PORTS, Name: "nat_ports",
		Tells:   "a new connection's packet is dropped, because the NAT has no port left",
		Without: "exhausted NAT pools are not seen",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFexitNfConntrackConfirm}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeNfConntrackConfirm, bpf.BrinkProgKretprobeNfConntrackConfirm,
			}},
			{Rung: Poll, Lost: lostConntrack},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_THREADS, Name: "threads",
		Tells:   "no further thread or process can be made (EAGAIN)",
		Without: "refused threads are not seen",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFexitKernelClone}},
			{Rung: Kprobe, Programs: []string{bpf.BrinkProgKretprobeKernelClone}},
			{Rung: Tracepoint, Programs: on(bpf.BrinkProgTpSysExitClone, cloneCalls)},
		},
	},
}

// Hooks is the table: all that brink can see, whatever this kernel allows.
func Hooks() []Hook { return slices.Clone(hooks) }

func indexOf(id bpf.BrinkHook) int {
	for i := range hooks {
		if hooks[i].ID == id {
			return i
		}
	}
	panic(fmt.Sprintf("no hook %d in the table", id))
}
