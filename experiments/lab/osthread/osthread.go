// Package osthread makes threads that the Go runtime knows nothing of, as a
// server in C would: one a connection, each blocked in read(2) on it.
//
//	Echo ─→ mmap a stack ─→ clone(2), every signal blocked ─→ read, write, read … ─→ exit(2)
//
// Go's own threads will not do where threads run out: when clone(2) refuses the
// runtime one, it ends the program. They also bring stacks from Go's heap,
// which no other language's threads have.
//
// Such a thread runs nothing but the few instructions in echo_*.s: it has no g,
// so no Go function may run on it, and it must never take a signal, since the
// handler would be Go's.
package osthread

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// flags are what pthread_create asks for, and the Go runtime: a thread of this
// process that shares everything with it.
const flags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM

// cloneEcho makes the thread: a thread ID, or an errno below zero. On top of the
// stack is the descriptor, and room for a message above it.
//
//go:noescape
func cloneEcho(flags, stack uintptr) (tid int)

// room is for the descriptor and for one read; the stack grows away from it.
const room = 128

// Stack is a thread's: its mapping may be larger than what is ever touched.
type Stack struct{ memory []byte }

// NewStack maps a stack. As with pthread_create memory is reserved, not used. No
// huge page serves it, which would use 2 MiB for the first touch.
func NewStack(size int) (*Stack, error) {
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE|unix.MAP_STACK)
	if err != nil {
		return nil, fmt.Errorf("map a stack: %w", err)
	}
	unix.Madvise(memory, unix.MADV_NOHUGEPAGE) // EINVAL: this kernel has none
	return &Stack{memory}, nil
}

// Free unmaps a stack whose thread has ended.
func (s *Stack) Free() error { return unix.Munmap(s.memory) }

// DefaultStackSize is the soft RLIMIT_STACK, as for pthread_create: 8 MiB on
// nearly every host, and where it is unlimited.
func DefaultStackSize() int {
	const usual = 8 << 20
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_STACK, &limit) != nil || limit.Cur < 1<<16 || limit.Cur > 1<<30 {
		return usual
	}
	page := uint64(os.Getpagesize())
	return int(limit.Cur / page * page)
}

// Echo starts a thread that sends back what it reads from fd, which must block,
// until read(2) or write(2) has nothing more or fails. The error is clone(2)'s
// errno.
func Echo(fd int, s *Stack) error {
	top := unsafe.Pointer(&s.memory[len(s.memory)-room])
	*(*uintptr)(top) = uintptr(fd)

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var every, before unix.Sigset_t
	for i := range every.Val {
		every.Val[i] = ^every.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &every, &before); err != nil {
		return fmt.Errorf("block signals: %w", err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	if tid := cloneEcho(flags, uintptr(top)); tid < 0 {
		return os.NewSyscallError("clone", syscall.Errno(-tid))
	}
	return nil
}
