package bpf

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Constants leave no trace in an object's BTF, so they are read from the text.
var (
	define     = regexp.MustCompile(`(?m)^#define (\w+)\s+\(?(\d\w*)( << (\d+))?\)?( /\*.*)?$`)
	enumerator = regexp.MustCompile(`\b(\w+)( = (\d+))?,`)
	tcpStates  = regexp.MustCompile(`(?s)enum tcp_state \{(.*?)\}`)
)

// TestMacrosOfKernelHeader holds what kernel.h defines by hand against the
// kernel's own values: the enums of its BTF for what never leaves it, and the
// system call interface's constants for the rest.
func TestMacrosOfKernelHeader(t *testing.T) {
	kernel := kernelSpec(t)
	want := map[string]uint64{
		"AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6,
		"SOCK_STREAM": unix.SOCK_STREAM, "IPPROTO_TCP": unix.IPPROTO_TCP, "IPPROTO_UDP": unix.IPPROTO_UDP,
		"S_IFMT": unix.S_IFMT, "S_IFSOCK": unix.S_IFSOCK, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE,
		"EINPROGRESS": uint64(unix.EINPROGRESS), "EADDRINUSE": uint64(unix.EADDRINUSE),
		"EADDRNOTAVAIL": uint64(unix.EADDRNOTAVAIL), "EAGAIN": uint64(unix.EAGAIN), "EINTR": uint64(unix.EINTR), "ENOMEM": uint64(unix.ENOMEM),
		"ENETUNREACH": uint64(unix.ENETUNREACH), "EHOSTUNREACH": uint64(unix.EHOSTUNREACH),
		"ECONNREFUSED": uint64(unix.ECONNREFUSED), "ECONNRESET": uint64(unix.ECONNRESET),
		"ETIMEDOUT": uint64(unix.ETIMEDOUT), "EPIPE": uint64(unix.EPIPE),
		"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIM_INFINITY": unix.RLIM_INFINITY & (1<<64 - 1),
		"IPS_SRC_NAT":  enumValue(t, kernel, "ip_conntrack_status", "IPS_SRC_NAT"),
		"NFCT_PTRMASK": 7, "ERESTARTSYS": 512, "NF_DROP": 0, // macros of the kernel, of which its BTF knows nothing
		"EMFILE": uint64(unix.EMFILE), "ENFILE": uint64(unix.ENFILE),
		// inet_shutdown: "maps 0->1 has the advantage of making bit 1 rcvs"
		"SHUTDOWN_MASK": unix.SHUT_RDWR + 1,
		"SOCK_DEAD":     1 << enumValue(t, kernel, "sock_flags", "SOCK_DEAD"),
		"SOCK_DONE":     1 << enumValue(t, kernel, "sock_flags", "SOCK_DONE"),
		"TCP_TW_SYN":    enumValue(t, kernel, "tcp_tw_status", "TCP_TW_SYN"),
	}
	got := macros(t)
	for name, value := range want {
		equal(t, name, got[name], value)
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("kernel.h defines %s, which this test does not check", name)
		}
	}
}

func TestTCPStates(t *testing.T) {
	kernel := kernelSpec(t)
	// BPF_TCP_ESTABLISHED and so on: a build error keeps them equal to the
	// kernel's own (tcp_set_state), whose enum has no name to find it by
	number := 0
	for name, value := range states(t) {
		equal(t, name, value, enumValue(t, kernel, "", "BPF_"+name))
		number++
	}
	equal(t, "number of states", number, 11)
}

func macros(t *testing.T) map[string]uint64 {
	t.Helper()
	found := map[string]uint64{}
	for _, m := range define.FindAllStringSubmatch(text(t, "kernel.h"), -1) {
		found[m[1]] = number(t, m[2]) << number(t, m[4])
	}
	return found
}

func states(t *testing.T) map[string]uint64 {
	t.Helper()
	body := tcpStates.FindStringSubmatch(text(t, "kernel.h"))
	if body == nil {
		t.Fatal("kernel.h has no enum tcp_state")
	}
	found := map[string]uint64{}
	next := uint64(0)
	for _, m := range enumerator.FindAllStringSubmatch(body[1], -1) {
		if m[3] != "" {
			next = number(t, m[3])
		}
		found[m[1]] = next
		next++
	}
	return found
}

// enumValue looks in the enum with the given name, or in any without one.
func enumValue(t *testing.T, kernel *btf.Spec, enum, name string) uint64 {
	t.Helper()
	types, err := kernel.AnyTypesByName(enum)
	if enum == "" {
		types, err = anonymous(kernel)
	}
	if err != nil {
		t.Fatalf("enum %s: %v", enum, err)
	}
	for _, typ := range types {
		e, ok := typ.(*btf.Enum)
		if !ok {
			continue
		}
		for _, v := range e.Values {
			if v.Name == name {
				return v.Value
			}
		}
	}
	t.Fatalf("the kernel has no %s in enum %q", name, enum)
	return 0
}

func anonymous(kernel *btf.Spec) (enums []btf.Type, err error) {
	for typ, err := range kernel.All() {
		if err != nil {
			return nil, err
		}
		if e, ok := typ.(*btf.Enum); ok && e.Name == "" {
			enums = append(enums, e)
		}
	}
	return enums, nil
}

// number reads a C integer constant; an absent one is 0.
func number(t *testing.T, s string) uint64 {
	t.Helper()
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimRight(s, "ul"), 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func text(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
