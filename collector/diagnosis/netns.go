package diagnosis

import (
	"os"
	"strconv"
	"strings"

	"brink/collector/limits"
)

// Namespace is the network namespace to look at. The zero value is this
// process's own.
type Namespace struct {
	Netns uint32 // inode number
	Path  string // such as /proc/PID/ns/net
}

// Own is this process's namespace.
func Own() Namespace { return Namespace{Netns: limits.OwnNetns()} }

// Inside calls f in the namespace: to stay in the own one takes no privilege.
func (n Namespace) Inside(f func() error) error {
	if n.Path == "" {
		return f()
	}
	return limits.Inside(n.Path, f)
}

// setting reads a sysctl of the calling thread's namespace; empty if there is
// none of that name.
func setting(name string) string {
	value, _ := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	return strings.TrimSpace(string(value))
}

// settingNumber is a setting's number, or what the kernel does without it.
func settingNumber(name string, without uint64) uint64 {
	if n, err := strconv.ParseUint(setting(name), 10, 64); err == nil {
		return n
	}
	return without
}
