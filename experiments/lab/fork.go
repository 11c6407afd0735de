package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// fork starts the holder of a new lab: from brink, or from another lab's holder.
func fork(ctx context.Context, o Options) (*Lab, error) {
	if o.Beside != nil {
		holder, err := o.Beside.spawn(ctx, true)
		if err != nil {
			return nil, err
		}
		return &Lab{holder: holder, workers: map[*Worker]struct{}{}}, nil
	}
	flags := uintptr(unix.CLONE_NEWNET)
	if o.UserNamespace || !mayMakeNetns() {
		flags |= unix.CLONE_NEWUSER
	}
	return forkHolder(flags)
}

func forkHolder(flags uintptr) (*Lab, error) {
	mine, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	l := &Lab{forker: newThread(), reaped: make(chan struct{}), workers: map[*Worker]struct{}{}}
	go l.forker.run()
	child, err := start(l.forker, theirs, flags)
	if err != nil {
		l.forker.close()
		mine.Close()
		return nil, advise(err)
	}
	opened, err := openProcess(child.Pid) // not reaped yet, so the PID is its own
	go func() { child.Wait(); close(l.reaped) }()
	if err != nil {
		l.forker.close() // takes the child along
		mine.Close()
		return nil, err
	}
	l.holder = &member{process: opened, control: newControl(mine)}
	return l, nil
}

// mayMakeNetns: CLONE_NEWNET needs CAP_SYS_ADMIN in the own user namespace.
func mayMakeNetns() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // version 3 has 64 bits, in two halves
	if unix.Capget(&header, &data[0]) != nil {
		return os.Geteuid() == 0
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// advise says what to do about the usual reasons for having no namespace.
func advise(err error) error {
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: run as root, or let plain users make user namespaces (sysctl kernel.unprivileged_userns_clone=1, "+
			"kernel.apparmor_restrict_unprivileged_userns=0; in a container also its seccomp profile)", err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EUSERS):
		return fmt.Errorf("%w: raise the sysctls user.max_net_namespaces and user.max_user_namespaces", err)
	}
	return err
}

type spawning struct{ NewNetns bool }

var spawn = defineWithFile("spawn", (*inside).spawn)

// spawn has the holder fork another process, and hands it one end of a new
// control connection. Dropping the other end makes the process leave again.
func (l *Lab) spawn(ctx context.Context, newNetns bool) (*member, error) {
	mine, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	pid, err := spawn.callWithFile(ctx, l.holder.control, spawning{NewNetns: newNetns}, theirs)
	if err != nil {
		mine.Close()
		return nil, err
	}
	opened, err := openProcess(pid)
	if err != nil {
		mine.Close()
		return nil, err
	}
	return &member{process: opened, control: newControl(mine)}, nil
}

func (in *inside) spawn(s spawning, control *os.File) (int, error) {
	if control == nil {
		return 0, fmt.Errorf("fork a worker: the holder has no descriptor left for its connection: %w", syscall.EMFILE)
	}
	defer control.Close()
	var flags uintptr
	if s.NewNetns {
		flags = unix.CLONE_NEWNET
	}
	child, err := start(in.forker, control, flags)
	if err != nil {
		return 0, fmt.Errorf("fork a worker: %w", err)
	}
	in.children.Go(func() { child.Wait() }) // reap it, whenever it ends
	return child.Pid, nil
}
