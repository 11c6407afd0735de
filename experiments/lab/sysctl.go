package lab

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// sysctlName is a name below net., so that no name leads out of /proc/sys/net.
var sysctlName = regexp.MustCompile(`^net(\.[A-Za-z0-9_-]+)+$`)

type setting struct{ Name, Value string }

var (
	readSysctl  = define("read a sysctl", (*inside).readSysctl)
	writeSysctl = define("write a sysctl", (*inside).writeSysctl)
)

// Sysctl reads a net.* sysctl as it is in the lab. Several values are separated
// by one space. A name that only exists in the host's namespace is an error
// that wraps fs.ErrNotExist's errno, ENOENT.
func (l *Lab) Sysctl(ctx context.Context, name string) (string, error) {
	if !sysctlName.MatchString(name) {
		return "", fmt.Errorf("read sysctl %q in a lab: only net.* belongs to a network namespace; read it on the host", name)
	}
	return readSysctl.call(ctx, l.holder.control, setting{Name: name})
}

// SetSysctl sets a sysctl of the lab's namespace. Only the names in
// [PrivateSysctls] are set: some net.* knobs are host-wide although they show
// in every namespace, and an experiment never changes the host.
func (l *Lab) SetSysctl(ctx context.Context, name, value string) error {
	if !isPrivate(name) {
		return fmt.Errorf("set sysctl %q in a lab: it is not known to belong to one network namespace, and the host is never changed; "+
			"if it does, add it to the list in the lab package", name)
	}
	_, err := writeSysctl.call(ctx, l.holder.control, setting{Name: name, Value: value})
	return err
}

func isPrivate(name string) bool {
	return slices.Contains(privateSysctls, name) || perInterface.MatchString(name)
}

// PrivateSysctls are the sysctls that SetSysctl accepts, besides those of one
// interface (net.ipv4.conf.lo.rp_filter, net.ipv6.conf.all.forwarding, …).
func PrivateSysctls() []string { return slices.Clone(privateSysctls) }

// perInterface holds the knobs that live in struct in_device and inet6_dev,
// and their "all" and "default", which are per namespace as well.
var perInterface = regexp.MustCompile(`^net\.ipv[46]\.conf\.[A-Za-z0-9_-]+\.[a-z0-9_]+$`)

// fields joins the values of a sysctl by one space; the kernel uses tabs.
func fields(value string) string { return strings.Join(strings.Fields(value), " ") }
