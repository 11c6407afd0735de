package lab

import (
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Refusal is the kernel's no to one system call of a worker. errors.Is finds
// its errno: errors.Is(err, syscall.EADDRINUSE).
type Refusal struct {
	Call    string         // "socket", "setsockopt", "bind", "listen", "connect", …
	Address netip.AddrPort // what was asked for, where the call names one
	Errno   syscall.Errno
}

func (r *Refusal) Error() string {
	if !r.Address.IsValid() {
		return fmt.Sprintf("%s: %s (%v)", r.Call, unix.ErrnoName(r.Errno), r.Errno)
	}
	return fmt.Sprintf("%s %v: %s (%v)", r.Call, r.Address, unix.ErrnoName(r.Errno), r.Errno)
}

func (r *Refusal) Unwrap() error { return r.Errno }

// refused makes a Refusal of what a call in x/sys/unix returned.
func refused(call string, address netip.AddrPort, err error) *Refusal {
	errno, ok := err.(syscall.Errno)
	if !ok {
		errno = syscall.EINVAL // x/sys/unix refuses a malformed argument itself, with EINVAL too
	}
	return &Refusal{Call: call, Address: address, Errno: errno}
}
