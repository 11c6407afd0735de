package main

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ports that a player may be given: ten, one of which is reserved.
const (
	lowPort, highPort = 40000, 40009
	reservedPort      = 40005
	choosable         = highPort - lowPort // both ends belong to the range
	maxTimeWaits      = 5
	maxDescriptors    = 32
	crowdUID          = 54321 // nobody's
	crowdTasks        = 1
)

func narrow(netip.Addr) error {
	return setSysctls(map[string]string{
		"ip_local_port_range":     fmt.Sprintf("%d %d", lowPort, highPort),
		"ip_local_reserved_ports": strconv.Itoa(reservedPort),
		"tcp_max_tw_buckets":      strconv.Itoa(maxTimeWaits),
		"tcp_rfc1337":             "1",
		"tcp_tw_reuse":            "0", // else a slow machine's connects take over what is to fill up
	})
}

// beRefusedEverything is one program's very bad day. Each scene cleans up after
// itself: the next one needs the ten ports.
func beRefusedEverything(at netip.Addr) error {
	for _, scene := range []func(netip.Addr) error{
		bindTaken, listenTaken, bindWithoutPort, connectWithoutPort, connectTwice,
		overflowQueue, runOutOfDescriptors, crowdOut, fillTimeWaits,
	} {
		if err := scene(at); err != nil {
			return fmt.Errorf("%s: %w", runtime.FuncForPC(reflect.ValueOf(scene).Pointer()).Name(), err)
		}
	}
	return nil
}

// bindTaken binds ports that another process holds.
func bindTaken(at netip.Addr) error {
	taken := netip.AddrPortFrom(at, 5001)
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), "BRINK_TEST_PLAY=holder", "BRINK_TEST_AT="+taken.String())
	holder.Stdin = os.Stdin // until the player ends, too
	out, err := holder.StdoutPipe()
	if err != nil {
		return err
	}
	if err := holder.Start(); err != nil {
		return err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		return fmt.Errorf("the holder said %q: %w", line, err)
	}
	for _, transport := range []string{"tcp", "udp"} {
		fd, err := socketFor(transport, at)
		if err != nil {
			return err
		}
		if err := unix.Bind(fd, sockaddrOf(taken)); err != unix.EADDRINUSE {
			return fmt.Errorf("bound a taken port: %w", err)
		}
		unix.Close(fd)
		fmt.Println("conflict", transport, taken, holder.Process.Pid)
	}
	return nil
}

// hold is the process that was there first.
func hold(at netip.AddrPort) error {
	listener, err := boundSocket("tcp", at)
	if err != nil {
		return err
	}
	if err := unix.Listen(listener, 8); err != nil {
		return err
	}
	if _, err := boundSocket("udp", at); err != nil {
		return err
	}
	fmt.Println("held")
	awaitStdin()
	return nil
}

// listenTaken: two sockets that allow reuse may bind one port, and one may listen.
// They stay open, or nobody would hold it when brink looks.
func listenTaken(at netip.Addr) error {
	port := netip.AddrPortFrom(at, 5002)
	var fds [2]int
	for i := range fds {
		fd, err := socketFor("tcp", at)
		if err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
		if err := unix.Bind(fd, sockaddrOf(port)); err != nil {
			return err
		}
		fds[i] = fd
	}
	if err := unix.Listen(fds[0], 8); err != nil {
		return err
	}
	if err := unix.Listen(fds[1], 8); err != unix.EADDRINUSE {
		return fmt.Errorf("listened twice: %w", err)
	}
	fmt.Println("conflict", "tcp-listen", port, os.Getpid())
	return nil
}

// bindWithoutPort leaves the choice to the kernel until it has none.
func bindWithoutPort(at netip.Addr) error {
	for _, transport := range []string{"tcp", "udp"} {
		release, err := takeAllPorts(transport, at)
		if err != nil {
			return err
		}
		fmt.Println("no-port", "bind", transport, at)
		if transport == "udp" {
			err = autobindUDP(netip.AddrPortFrom(at, 53))
		}
		release()
		if err != nil {
			return err
		}
	}
	return nil
}

// takeAllPorts binds until the kernel refuses; that is one refusal.
func takeAllPorts(transport string, at netip.Addr) (release func(), err error) {
	var fds []int
	release = func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	for {
		fd, err := socketFor(transport, at)
		if err != nil {
			return release, err
		}
		fds = append(fds, fd)
		if err := unix.Bind(fd, sockaddrOf(netip.AddrPortFrom(at, 0))); err != nil {
			if err != unix.EADDRINUSE || len(fds)-1 != choosable {
				err = fmt.Errorf("%d ports could be bound: %w", len(fds)-1, err)
				return release, err
			}
			return release, nil
		}
	}
}

// autobindUDP connects and sends while no port is left.
func autobindUDP(to netip.AddrPort) error {
	for name, call := range map[string]func(fd int) error{
		"connect": func(fd int) error { return unix.Connect(fd, sockaddrOf(to)) },
		"send":    func(fd int) error { return unix.Sendto(fd, []byte("x"), 0, sockaddrOf(to)) },
	} {
		fd, err := socketFor("udp", to.Addr())
		if err != nil {
			return err
		}
		err = call(fd)
		unix.Close(fd)
		if err != unix.EAGAIN {
			return fmt.Errorf("%s without a port: %w", name, err)
		}
		fmt.Println("no-port", name, "udp", to)
	}
	return nil
}

// connectWithoutPort takes all ports to one destination.
func connectWithoutPort(at netip.Addr) error {
	to := netip.AddrPortFrom(at, 5003)
	listener, err := listeningSocket(to, 64)
	if err != nil {
		return err
	}
	defer unix.Close(listener)
	var clients []int
	for {
		fd, err := socketFor("tcp", at)
		if err != nil {
			return err
		}
		err = unix.Connect(fd, sockaddrOf(to))
		if err == nil {
			clients = append(clients, fd)
			continue
		}
		unix.Close(fd)
		if err != unix.EADDRNOTAVAIL || len(clients) != choosable {
			return fmt.Errorf("after %d connects: %w", len(clients), err)
		}
		fmt.Println("no-port", "connect", "tcp", to)
		return hangUp(listener, clients...)
	}
}

// connectTwice has two sockets share a port and want the same connection.
func connectTwice(at netip.Addr) error {
	from, to := netip.AddrPortFrom(at, 5005), netip.AddrPortFrom(at, 5004)
	listener, err := listeningSocket(to, 64)
	if err != nil {
		return err
	}
	defer unix.Close(listener)
	first, err := connectFrom(from, to)
	if err != nil {
		return err
	}
	second, err := connectFrom(from, to)
	if err != unix.EADDRNOTAVAIL {
		return fmt.Errorf("the same connection again: %w", err)
	}
	fmt.Println("tuple-taken", from, to)
	unix.Close(second)
	return hangUp(listener, first)
}

func connectFrom(from, to netip.AddrPort) (int, error) {
	fd, err := socketFor("tcp", from.Addr())
	if err != nil {
		return fd, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fd, err
	}
	if err := unix.Bind(fd, sockaddrOf(from)); err != nil {
		return fd, err
	}
	return fd, unix.Connect(fd, sockaddrOf(to))
}

// hangUp resets connections in the order in which they wait in the queue. That
// leaves no TIME_WAIT: their ports are free at once. The server's ends fail.
func hangUp(listener int, clients ...int) error {
	for _, client := range clients {
		local, err := localOf(client)
		if err != nil {
			return err
		}
		server, peer, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if err != nil || addressOf(peer) != local {
			return fmt.Errorf("accepted %v before %v: %w", addressOf(peer), local, err)
		}
		at, err := localOf(server)
		if err != nil {
			return err
		}
		reset(client)
		if err := heard(server); err != unix.ECONNRESET {
			return fmt.Errorf("reset %v: %w", local, err)
		}
		unix.Close(server)
		fmt.Println("hung-up", at, local)
	}
	return nil
}

// overflowQueue fills an accept queue of backlog 1, which holds two, and only
// then connects again; it tells the kernel's own count, for a SYN may have been
// retransmitted meanwhile. The queue stays full: a poll looks at it later.
func overflowQueue(at netip.Addr) error {
	to := netip.AddrPortFrom(at, 5006)
	before, err := counted("ListenOverflows")
	if err != nil {
		return err
	}
	listener, err := listeningSocket(to, 1)
	if err != nil {
		return err
	}
	for range 2 {
		fd, err := socketFor("tcp", at)
		if err != nil {
			return err
		}
		if err := unix.Connect(fd, sockaddrOf(to)); err != nil {
			return err
		}
	}
	if err := await("a full queue", func() (bool, error) { return queued(listener, 2) }); err != nil {
		return err
	}
	var clients []string
	for range 3 {
		fd, err := socketFor("tcp", at)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}
		if err := unix.Connect(fd, sockaddrOf(to)); err != unix.EINPROGRESS {
			return fmt.Errorf("connect to a full queue: %w", err)
		}
		local, err := localOf(fd)
		if err != nil {
			return err
		}
		clients = append(clients, local.String())
	}
	var n int
	err = await("overflows", func() (bool, error) {
		n, err = counted("ListenOverflows")
		return n-before >= len(clients), err
	})
	if err != nil {
		return err
	}
	if n, err = counted("ListenOverflows"); err != nil {
		return err
	}
	fmt.Println("queue-full", to, n-before, strings.Join(clients, " "))
	return nil
}

// counted reads one of the namespace's own counters.
func counted(counter string) (int, error) {
	content, err := os.ReadFile("/proc/self/net/netstat")
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(content)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "TcpExt:" {
			continue
		}
		for i, name := range names {
			if name == counter {
				return strconv.Atoi(f[i])
			}
		}
		names = f
	}
	return 0, fmt.Errorf("there is no counter %s", counter)
}

func queued(listener, n int) (bool, error) {
	info, err := unix.GetsockoptTCPInfo(listener, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return false, err
	}
	return int(info.Unacked) == n, nil // sk_ack_backlog, of a listener
}

// runOutOfDescriptors makes every kind of call that wants a descriptor.
func runOutOfDescriptors(at netip.Addr) error {
	to := netip.AddrPortFrom(at, 5007)
	listener, err := listeningSocket(to, 8)
	if err != nil {
		return err
	}
	defer unix.Close(listener)
	client, err := socketFor("tcp", at)
	if err != nil {
		return err
	}
	if err := unix.Connect(client, sockaddrOf(to)); err != nil {
		return err
	}
	release, err := takeDescriptors()
	if err == nil {
		err = wantDescriptors(listener)
	}
	release()
	if err != nil {
		return err
	}
	return hangUp(listener, client)
}

// takeDescriptors lowers the limit and takes what it leaves; to find its end is
// a refusal, too.
func takeDescriptors() (release func(), err error) {
	var limit unix.Rlimit
	var fds []int
	release = func() {
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return func() {}, err
	}
	few := unix.Rlimit{Cur: maxDescriptors, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		return release, err
	}
	for {
		fd, err := unix.Dup(0)
		if err == unix.EMFILE {
			fmt.Println("no-descriptor", "dup")
			return release, nil
		}
		if err != nil {
			return release, err
		}
		fds = append(fds, fd)
	}
}

func wantDescriptors(listener int) error {
	var two [2]int32
	pair := uintptr(unsafe.Pointer(&two))
	path := []byte("/proc/self/status\x00")
	here := unix.AT_FDCWD
	calls := []struct {
		name      string
		number    uintptr
		arguments [4]uintptr
	}{
		{"socket", unix.SYS_SOCKET, [4]uintptr{unix.AF_INET, unix.SOCK_STREAM}},
		{"socketpair", unix.SYS_SOCKETPAIR, [4]uintptr{unix.AF_UNIX, unix.SOCK_STREAM, 0, pair}},
		{"accept", unix.SYS_ACCEPT, [4]uintptr{uintptr(listener)}},
		{"accept4", unix.SYS_ACCEPT4, [4]uintptr{uintptr(listener)}},
		{"openat", unix.SYS_OPENAT, [4]uintptr{uintptr(here), uintptr(unsafe.Pointer(&path[0]))}},
		{"pipe2", unix.SYS_PIPE2, [4]uintptr{pair}},
		{"dup", unix.SYS_DUP, [4]uintptr{0}},
		{"epoll_create1", unix.SYS_EPOLL_CREATE1, [4]uintptr{}},
		{"eventfd2", unix.SYS_EVENTFD2, [4]uintptr{}},
		{"fcntl", unix.SYS_FCNTL, [4]uintptr{0, unix.F_DUPFD, 0}},
	}
	for _, c := range calls {
		_, _, err := unix.Syscall6(c.number, c.arguments[0], c.arguments[1], c.arguments[2], c.arguments[3], 0, 0)
		if err != unix.EMFILE {
			return fmt.Errorf("%s without a descriptor left: %w", c.name, err)
		}
		fmt.Println("no-descriptor", c.name)
	}
	runtime.KeepAlive(path)
	return nil
}

// crowdOut has a plain user's process refused further ones.
func crowdOut(netip.Addr) error {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BRINK_TEST_PLAY=crowd", "GOMAXPROCS=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// crowd becomes that user, whom nobody exempts. While the limit is down, the Go
// runtime could not make a thread either, so it is down for two calls.
func crowd() error {
	if err := syscall.Setgid(crowdUID); err != nil {
		return err
	}
	if err := syscall.Setuid(crowdUID); err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &limit); err != nil {
		return err
	}
	few := unix.Rlimit{Cur: crowdTasks, Max: limit.Max}
	clone3 := struct{ flags, pidfd, childTID, parentTID, exit, stack, stackSize, tls uint64 }{exit: uint64(unix.SIGCHLD)}
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &few); err != nil {
		return err
	}
	child, _, first := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if first == 0 && child == 0 {
		unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
	child, _, second := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&clone3)), unsafe.Sizeof(clone3), 0)
	if second == 0 && child == 0 {
		unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &limit); err != nil {
		return err
	}
	if first != unix.EAGAIN || second != unix.EAGAIN {
		return fmt.Errorf("made a process above RLIMIT_NPROC: %w, %w", first, second)
	}
	fmt.Println("no-thread", os.Getpid(), crowdUID, crowdTasks)
	fmt.Println("no-thread", os.Getpid(), crowdUID, crowdTasks)
	return nil
}

// fillTimeWaits closes nine connections first, one after the other, and tells of
// those for which the kernel counted an overflow.
func fillTimeWaits(at netip.Addr) error {
	to := netip.AddrPortFrom(at, 5008)
	listener, err := listeningSocket(to, 8)
	if err != nil {
		return err
	}
	defer unix.Close(listener)
	total := 0
	for range choosable {
		local, overflowed, err := passIntoTimeWait(listener, to)
		if err != nil {
			return err
		}
		if overflowed > 0 {
			fmt.Println("no-timewait", local, to)
		}
		total += overflowed
	}
	if total != choosable-maxTimeWaits {
		return fmt.Errorf("the kernel counted %d overflows", total)
	}
	return nil
}

func passIntoTimeWait(listener int, to netip.AddrPort) (local netip.AddrPort, overflowed int, err error) {
	before, err := counted("TCPTimeWaitOverflow")
	if err != nil {
		return local, 0, err
	}
	client, err := socketFor("tcp", to.Addr())
	if err != nil {
		return local, 0, err
	}
	if err := unix.Connect(client, sockaddrOf(to)); err != nil {
		return local, 0, err
	}
	if local, err = localOf(client); err != nil {
		return local, 0, err
	}
	server, _, err := unix.Accept4(listener, 0)
	if err != nil {
		return local, 0, err
	}
	if err := closeFirst(client, server); err != nil {
		return local, 0, err
	}
	after, err := counted("TCPTimeWaitOverflow")
	return local, after - before, err
}

// closeFirst is an active close of client, to the end: client's FIN, server's,
// and client gone.
func closeFirst(client, server int) error {
	if err := unix.Shutdown(client, unix.SHUT_WR); err != nil {
		return err
	}
	if _, err := unix.Read(server, make([]byte, 1)); err != nil {
		return err
	}
	if err := unix.Close(server); err != nil {
		return err
	}
	if _, err := unix.Read(client, make([]byte, 1)); err != nil {
		return err
	}
	err := await("the client's end", func() (bool, error) {
		info, err := unix.GetsockoptTCPInfo(client, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err == nil && info.State == 7, err // TCP_CLOSE
	})
	unix.Close(client)
	return err
}
