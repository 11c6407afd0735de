package vm

import (
	"fmt"
	"strings"
)

// Where the harness keeps its own files in the guest.
const (
	commandDir = "/brink/command"
	moduleDir  = "/brink/modules"
)

// initHead sets the guest up. A step that fails ends the boot with a frame
// that names it: a test on half a guest would fail in some stranger way.
//
// stty raw keeps the serial driver from turning \n into \r\n. Descriptor 3 is
// the framed line; commands do not inherit it. RLIMIT_MEMLOCK is left alone:
// before 5.11 BPF maps count against it, and a tool has to raise it itself.
const initHead = `#!/bin/sh
export PATH=/bin:/sbin HOME=/root TMPDIR=/tmp
mount -t devtmpfs dev /dev
exec 3>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo
say() { echo "$@" >&3; }
# Closing the line waits until everything is sent; powering off does not.
stop() { exec 3>&-; poweroff -f; }
must() { "$@" 2>/brink/error || { say "@fail $*: $(cat /brink/error)"; stop; }; }
must mount -t proc proc /proc
must mount -t sysfs sys /sys
must mount -t tmpfs tmp /tmp
must mount -t tmpfs run /run
must mount -t cgroup2 cgroup /sys/fs/cgroup
must mount -t bpf bpf /sys/fs/bpf
must ln -s /proc/self/fd /dev/fd
must ip link set lo up
must ulimit -n "$(cat /proc/sys/fs/nr_open)"
`

// initFunctions run a command and bring a file back.
//
// Each line of output gets a | in front, so no output can look like a frame.
// The echo after the command ends its last line in any case, with a newline
// that the decoder takes off again. awk flushes every line, so that what was
// said before a panic gets out; busybox's sed would keep it back.
const initFunctions = `run() {
	say "@begin $1"
	{ sh ` + commandDir + `/$1; echo $? >/brink/status; echo; } </dev/null 2>&1 3>&- |
		awk '{ print "|" $0; fflush() }' >&3
	say "@exit $1 $(cat /brink/status)"
}
fetch() {
	[ -f "$2" ] || return
	say "@file $1 $(wc -c <"$2")"
	base64 "$2" | sed 's/^/|/' >&3
	say "@end"
}
`

// initScript is the guest's /init for a given guest and module load order.
func initScript(g Guest, modules []string) string {
	var b strings.Builder
	b.WriteString(initHead)
	if g.Tracefs {
		b.WriteString("must mount -t tracefs trace /sys/kernel/tracing\n")
	}
	for _, name := range modules {
		fmt.Fprintf(&b, "must insmod %s/%s.ko\n", moduleDir, name)
	}
	b.WriteString(initFunctions)
	b.WriteString("say \"@up $(uname -r)\"\n")
	for i := range g.Commands {
		fmt.Fprintf(&b, "run %d\n", i)
	}
	for i, path := range g.Fetch {
		fmt.Fprintf(&b, "fetch %d %s\n", i, quote(path))
	}
	b.WriteString("say @done\nstop\n")
	return b.String()
}

// commandScript is the file that runs one command. It ends in exec, so that
// the status is the command's own.
func commandScript(c Command) string {
	var b strings.Builder
	for _, pair := range c.Env {
		key, value, _ := strings.Cut(pair, "=")
		fmt.Fprintf(&b, "export %s=%s\n", key, quote(value))
	}
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	fmt.Fprintf(&b, "cd %s || exit 126\nexec", quote(dir))
	for _, arg := range c.Args {
		b.WriteString(" " + quote(arg))
	}
	b.WriteString("\n")
	return b.String()
}

// quote makes one shell word of any text.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
