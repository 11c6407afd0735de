package lab

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestSysctlStaysInside(t *testing.T) {
	before := hostSysctls()
	l, ctx := newLab(t, Options{}), deadline(t)
	for name, value := range map[string]string{
		"net.ipv4.ip_local_port_range":   "40000 40009",
		"net.core.somaxconn":             "17",
		"net.ipv4.tcp_max_tw_buckets":    "5",
		"net.ipv4.tcp_tw_reuse":          "0",
		"net.ipv6.conf.all.forwarding":   "1",
		"net.ipv4.conf.lo.rp_filter":     "2",
		"net.ipv4.tcp_abort_on_overflow": "1",
	} {
		noError(t, l.SetSysctl(ctx, name, value))
		equal(t, name, must(l.Sysctl(ctx, name))(t), value)
	}
	equal(t, "the host's sysctls", hostSysctls(), before)
}

func TestSysctlListIsCleared(t *testing.T) {
	l, ctx := newLab(t, Options{}), deadline(t)
	for _, list := range []string{"8080,9000-9010", "", "1", ""} {
		noError(t, l.SetSysctl(ctx, "net.ipv4.ip_local_reserved_ports", list))
		equal(t, "reserved ports", must(l.Sysctl(ctx, "net.ipv4.ip_local_reserved_ports"))(t), list)
	}
}

func TestSysctlRefusals(t *testing.T) {
	l, ctx := newLab(t, Options{}), deadline(t)
	for _, name := range []string{
		"fs.file-max", "kernel.pid_max", "net.ipv4.tcp_mem", "net.ipv4.tcp_max_orphans", "net.netfilter.nf_conntrack_max",
		"net.core.netdev_max_backlog", "net.ipv4/../../fs/file-max", "net.ipv4.conf.all.forwarding/x", "",
	} {
		if err := l.SetSysctl(ctx, name, "1"); err == nil {
			t.Errorf("%q was set", name)
		}
	}
	if _, err := l.Sysctl(ctx, "fs.file-max"); err == nil {
		t.Error("fs.file-max was read in the lab")
	}
	if _, err := l.Sysctl(ctx, "net.ipv4.tcp_mem"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("host-wide net.ipv4.tcp_mem: %v", err)
	}
	if err := l.SetSysctl(ctx, "net.ipv4.tcp_tw_reuse", "many"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a bad value: %v", err)
	}
}

// Root of a user namespace may write what is its namespace's own and nothing
// else, so the kernel itself proves the list. Absent names (an older kernel, a
// module not loaded) prove nothing and are counted.
func TestPrivateSysctlsArePrivate(t *testing.T) {
	l, ctx := newLab(t, Options{UserNamespace: true}), deadline(t)
	absent := 0
	for _, name := range PrivateSysctls() {
		value, err := l.Sysctl(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			absent++
			continue
		}
		noError(t, err)
		if err := l.SetSysctl(ctx, name, value); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d of %d names are absent on this kernel", absent, len(PrivateSysctls()))
}

func hostSysctls() string {
	var all strings.Builder
	for _, name := range PrivateSysctls() {
		value, _ := os.ReadFile(sysctlPath(name))
		all.Write(value)
	}
	return all.String()
}
