package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// A crowd is many processes in one private network namespace, each with
// connections to itself that stay open: both ends are the process's.
type crowd struct {
	Processes   int
	Connections int // of each
}

// gather starts a crowd and returns when all its connections are there. It ends
// when its orders are closed, or with bench.
func gather(ctx context.Context, c crowd) (*worker, error) {
	w, err := startAs(ctx, asCrowd, c, unix.CLONE_NEWNET)
	if err != nil {
		return nil, err
	}
	if _, err := w.listen(); err != nil {
		w.close()
		return nil, fmt.Errorf("gather %d processes with %d connections each: %w", c.Processes, c.Connections, err)
	}
	return w, nil
}

// beCrowd is the crowd's first process, which starts the others.
func beCrowd(args []string) error {
	var c crowd
	if err := json.Unmarshal([]byte(args[0]), &c); err != nil {
		return err
	}
	if err := furnish(); err != nil {
		return err
	}
	members := make([]*worker, 0, c.Processes)
	defer func() {
		for _, m := range members {
			m.orders.Close()
		}
		for _, m := range members {
			m.cmd.Wait()
		}
	}()
	for n := range c.Processes {
		m, err := startAs(context.Background(), asMember, member{Port: 10_000 + n, Connections: c.Connections}, 0)
		if err != nil {
			return err
		}
		members = append(members, m)
		if _, err := m.listen(); err != nil {
			return err
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(work{Connections: c.Processes * c.Connections}); err != nil {
		return err
	}
	ordered()
	return nil
}

// A member is one process of a crowd.
type member struct{ Port, Connections int }

func beMember(args []string) error {
	var m member
	if err := json.Unmarshal([]byte(args[0]), &m); err != nil {
		return err
	}
	if err := raiseDescriptors(); err != nil {
		return err
	}
	at := &unix.SockaddrInet4{Port: m.Port, Addr: netip.MustParseAddr("127.0.0.1").As4()}
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(listener, at); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(listener, 16); err != nil {
		return os.NewSyscallError("listen", err)
	}
	for n := range m.Connections {
		if err := holdOne(listener, at); err != nil {
			return fmt.Errorf("connection %d of %d: %w", n+1, m.Connections, err)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(work{Connections: m.Connections}); err != nil {
		return err
	}
	ordered()
	return nil
}

// holdOne opens a connection, whose descriptors stay.
func holdOne(listener int, at unix.Sockaddr) error {
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(client, at); err != nil {
		return os.NewSyscallError("connect", err)
	}
	_, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
	return os.NewSyscallError("accept4", err)
}

// raiseDescriptors: Go gives a started process the soft limit of its own start.
func raiseDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	limit.Cur = limit.Max
	return os.NewSyscallError("setrlimit", unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
}
