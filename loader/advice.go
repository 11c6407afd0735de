package loader

import (
	"errors"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const kernelBTF = "/sys/kernel/btf/vmlinux"

// Advice says, when nothing could be attached, why and what to do about it.
func (t *Tracer) Advice() string {
	err := t.blocked
	switch {
	case err == nil:
		return ""
	case !HasBTF():
		return "this kernel does not describe its types (" + kernelBTF + " is absent): use one with CONFIG_DEBUG_INFO_BTF"
	case os.Geteuid() != 0 && errors.Is(err, unix.EPERM):
		return "it takes root (or the capabilities CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN): try sudo"
	case errors.Is(err, unix.EPERM):
		return "the kernel refuses BPF even to root: lockdown, seccomp or a container without CAP_BPF; " +
			"run on the host itself, or give the container CAP_BPF and CAP_PERFMON"
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.EINVAL):
		return "this kernel is too old (brink needs BPF ring buffers, Linux 5.8): " + reason(err)
	}
	return reason(err)
}

// HasBTF reports whether the kernel describes its own types, without which no
// program that reads kernel structs can be loaded.
func HasBTF() bool {
	_, err := os.Stat(kernelBTF)
	return err == nil
}

// Remedy is what a person can do about a rung that was refused, where there is
// something; empty where the rung below simply has to do.
func Remedy(rung Rung, reason string) string {
	switch {
	case reason == notAskedFor:
		return ""
	case rung == Fentry && strings.Contains(reason, "not permitted"):
		return "this kernel lets nobody load programs of type TRACING: a kernel without that restriction is needed; the rungs below do the work meanwhile"
	case rung == Fentry && strings.Contains(reason, "not supported"):
		return "this kernel has no such function to hook, or is older than 5.5"
	case rung == Kprobe && strings.Contains(reason, "CONFIG_KPROBE"):
		return "a kernel with CONFIG_KPROBES and CONFIG_KPROBE_EVENTS is needed (every distribution's has them)"
	}
	return ""
}
