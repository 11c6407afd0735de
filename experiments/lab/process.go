package lab

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	leaveTime = 2 * time.Second  // for a worker to leave after its connection closed
	killTime  = 10 * time.Second // for the kernel to take down its sockets after SIGKILL
)

// A process is one that this one may wait for and kill without being its
// parent: a pidfd (Linux 5.3) never means another process, as a PID may.
type process struct {
	pid   int
	pidfd *os.File // non-blocking, so waiting takes no thread

	ending sync.Once
	endErr error
}

func openProcess(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("pidfd of worker %d: %w", pid, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &process{pid: pid, pidfd: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// wait says whether the process ended within the time. A pidfd becomes
// readable when the last thread has gone.
func (p *process) wait(limit time.Duration) bool {
	p.pidfd.SetReadDeadline(time.Now().Add(limit))
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return false
	}
	return raw.Read(readable) == nil
}

func readable(fd uintptr) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(poll, 0)
	return n > 0
}

func (p *process) kill() {
	if raw, err := p.pidfd.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	}
}

// end waits for a process that was told to leave, kills it when it does not,
// and says so when even that is not enough.
func (p *process) end(patience time.Duration) error {
	p.ending.Do(func() { p.endErr = p.endOnce(patience) })
	return p.endErr
}

func (p *process) endOnce(patience time.Duration) error {
	defer p.pidfd.Close()
	if p.wait(patience) {
		return nil
	}
	p.kill()
	if p.wait(killTime) {
		return nil
	}
	return fmt.Errorf("worker %d did not end within %v of SIGKILL: look at /proc/%d/stack, it keeps its network namespace alive",
		p.pid, killTime, p.pid)
}
