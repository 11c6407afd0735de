package loader

import (
	"fmt"

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
	lostOtherCalls = "refusals of calls other than socket and accept"
)

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
			}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeTcpSetState,
				bpf.BrinkProgKretprobeInetCskCloneLock,
				bpf.BrinkProgKprobeInetCskListenStart,
				bpf.BrinkProgKretprobeInetCskListenStart,
			}},
			{Rung: Tracepoint, Programs: []string{bpf.BrinkProgRawTpInetSockSetState}},
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
			{Rung: Tracepoint, Programs: []string{
				bpf.BrinkProgTpSysEnterConnect, bpf.BrinkProgTpSysExitConnect,
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
				bpf.BrinkProgTpSysEnterBind, bpf.BrinkProgTpSysExitBind,
				bpf.BrinkProgTpSysEnterListen, bpf.BrinkProgTpSysExitListen,
			}, Lost: lostIOUring},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_PORT_CHOICE, Name: "port_choice",
		Tells:   "connect() that finds no local port left, or the 4-tuple taken",
		Without: "EADDRNOTAVAIL is not told apart",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{bpf.BrinkProgFexitInetHashConnect}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeInetHashConnect, bpf.BrinkProgKretprobeInetHashConnect,
			}},
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
				Lost: "overflow (tcp_max_tw_buckets): told as an entry",
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
			{Rung: Tracepoint, Programs: []string{
				bpf.BrinkProgTpSysExitSocketDescriptor,
				bpf.BrinkProgTpSysExitAcceptDescriptor, bpf.BrinkProgTpSysExitAccept4Descriptor,
			}, Lost: lostOtherCalls},
		},
	},
	{
		ID: bpf.BrinkHookHOOK_ACCEPT_QUEUE, Name: "accept_queue",
		Tells:   "a listener whose accept queue is full",
		Without: "full accept queues are not seen",
		Ways: []Way{
			{Rung: Fentry, Programs: []string{
				bpf.BrinkProgFentryTcpConnRequest,
				bpf.BrinkProgFexitTcpV4SynRecvSock, bpf.BrinkProgFexitTcpV6SynRecvSock,
			}},
			{Rung: Kprobe, Programs: []string{
				bpf.BrinkProgKprobeTcpConnRequest,
				bpf.BrinkProgKprobeTcpV4SynRecvSock, bpf.BrinkProgKretprobeTcpV4SynRecvSock,
				bpf.BrinkProgKprobeTcpV6SynRecvSock, bpf.BrinkProgKretprobeTcpV6SynRecvSock,
			}},
			{
				Rung: Poll,
				Lost: "which client was refused, and when exactly: the namespace's ListenOverflows is read once a second",
			},
		},
	},
}

func indexOf(id bpf.BrinkHook) int {
	for i := range hooks {
		if hooks[i].ID == id {
			return i
		}
	}
	panic(fmt.Sprintf("no hook %d in the table", id))
}
