package sockdiag

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Options are those that decide whether two sockets may share a port. Only the
// socket itself knows SO_REUSEADDR and SO_REUSEPORT.
type Options struct {
	ReuseAddr bool   // SO_REUSEADDR
	ReusePort bool   // SO_REUSEPORT
	V6Only    bool   // IPV6_V6ONLY
	Device    uint32 // SO_BINDTODEVICE, an interface's index; 0 for none
}

// ErrOtherSocket: the descriptor has meanwhile become something else.
var ErrOtherSocket = errors.New("another socket has taken the descriptor")

// OptionsOf asks the socket that an owner has open. It takes the right to trace
// the owner (PTRACE_MODE_ATTACH_REALCREDS); where that is missing, the error
// is EPERM and the options stay unknown.
func OptionsOf(p Process, inode uint32) (Options, error) {
	fd, err := copyOf(p.PID, p.FD)
	if err != nil {
		return Options{}, err
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return Options{}, fmt.Errorf("stat socket: %w", err)
	}
	if uint32(stat.Ino) != inode {
		return Options{}, ErrOtherSocket
	}
	return optionsOf(fd)
}

// copyOf duplicates another process's descriptor (pidfd_getfd, 5.6).
func copyOf(pid uint32, fd int) (int, error) {
	process, err := unix.PidfdOpen(int(pid), 0)
	if err != nil {
		return 0, fmt.Errorf("open process %d: %w", pid, err)
	}
	defer unix.Close(process)
	own, err := unix.PidfdGetfd(process, fd, 0)
	if err != nil {
		return 0, fmt.Errorf("copy descriptor %d of process %d: %w", fd, pid, err)
	}
	return own, nil
}

func optionsOf(fd int) (o Options, err error) {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return o, fmt.Errorf("ask socket: %w", err)
	}
	is := func(level, option int) bool {
		value, failed := unix.GetsockoptInt(fd, level, option)
		err = errors.Join(err, failed)
		return value != 0
	}
	o.ReuseAddr = is(unix.SOL_SOCKET, unix.SO_REUSEADDR)
	o.ReusePort = is(unix.SOL_SOCKET, unix.SO_REUSEPORT)
	o.V6Only = domain == unix.AF_INET6 && is(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
	device, failed := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX)
	o.Device = uint32(device)
	return o, errors.Join(err, failed)
}
