package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// needVM skips a test that boots a kernel unless BRINK_VM=1 asks for it. Where
// it is asked for, a missing QEMU fails: a skip there could hide a regression.
func needVM(t *testing.T) {
	t.Helper()
	if os.Getenv("BRINK_VM") != "1" {
		t.Skip("boots a kernel: set BRINK_VM=1, or run make test-vm")
	}
	for _, tool := range []string{qemuBinary, "busybox"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatal(err)
		}
	}
}

// stable is the kernel for tests of the harness, not of kernels.
var stable = Kernels[1]

func TestBoot(t *testing.T) {
	needVM(t)
	result, err := Boot(t.Context(), Guest{
		Kernel: stable,
		Files:  []File{{Path: "/etc/motd", Data: []byte("it's here\n")}},
		Commands: []Command{
			{Args: []string{"uname", "-r"}},
			Shell("echo out; echo err >&2; printf partial; exit 3"),
			{Args: []string{"sh", "-c", `echo "$WORD" "$1"; pwd`, "sh", "@done\n|x"}, Env: []string{"WORD=a'b c"}, Dir: "/tmp"},
			{Args: []string{"/absent"}},
			Shell("kill -9 $$"),
			{Args: []string{"cat", "/etc/motd"}},
			Shell("ls /sys/kernel/tracing /sys/fs/cgroup/cgroup.procs; ulimit -n; ls -d /sys/fs/bpf; cat /dev/fd/0"),
		},
		Fetch: []string{"/etc/motd", "/absent", "/bin/busybox"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		status int
		output string
	}{
		{0, result.Release + "\n"},
		{3, "out\nerr\npartial"},
		{0, "a'b c @done\n|x\n/tmp\n"},
		{127, "/absent: not found\n"},
		{137, ""},
		{0, "it's here\n"},
		{0, "/sys/fs/cgroup/cgroup.procs\n\n/sys/kernel/tracing:\n1048576\n/sys/fs/bpf\n"},
	}
	for i, c := range result.Commands {
		if c.Status != want[i].status || !strings.HasSuffix(c.Output, want[i].output) {
			t.Errorf("%q: status %d and %q, want %d and %q", c.Command.Args, c.Status, c.Output, want[i].status, want[i].output)
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	original, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if string(result.Files["/bin/busybox"]) != string(original) || len(result.Files) != 2 {
		t.Errorf("fetched %d files, busybox with %d of %d bytes", len(result.Files), len(result.Files["/bin/busybox"]), len(original))
	}
	if result.Boot <= 0 || result.Total < result.Boot {
		t.Errorf("boot took %s of %s", result.Boot, result.Total)
	}
}

func TestBootLosesNoOutput(t *testing.T) {
	needVM(t)
	const lines = 100_000
	result, err := Boot(t.Context(), Guest{Kernel: stable, Commands: []Command{Shell(fmt.Sprint("seq ", lines))}})
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i := range lines {
		fmt.Fprintln(&want, i+1)
	}
	if got := result.Commands[0].Output; got != want.String() {
		t.Errorf("%d bytes came back, want %d", len(got), want.Len())
	}
	t.Logf("%d bytes in %s", want.Len(), result.Commands[0].Duration)
}

func TestBootPanic(t *testing.T) {
	needVM(t)
	result, err := Boot(t.Context(), Guest{
		Kernel:   stable,
		Commands: []Command{Shell("echo last words; sleep 1; echo c >/proc/sysrq-trigger")},
	})
	if !errors.Is(err, ErrPanic) || !strings.Contains(err.Error(), "sysrq") {
		t.Errorf("got error %v, want a panic that names its cause", err)
	}
	if len(result.Commands) != 1 || result.Commands[0].Output != "last words" || result.Commands[0].Status != -1 {
		t.Errorf("unfinished command: %+v", result.Commands)
	}
}

func TestBootHang(t *testing.T) {
	needVM(t)
	_, err := Boot(t.Context(), Guest{Kernel: stable, Commands: []Command{Shell("sleep 1000")}, Timeout: 6 * time.Second})
	if !errors.Is(err, ErrHang) {
		t.Errorf("got error %v, want %v", err, ErrHang)
	}
}

func TestBootEndsEarly(t *testing.T) {
	needVM(t)
	_, err := Boot(t.Context(), Guest{Kernel: stable, Commands: []Command{Shell("poweroff -f")}})
	if !errors.Is(err, ErrTruncated) {
		t.Errorf("got error %v, want %v", err, ErrTruncated)
	}
}

func TestBootCancel(t *testing.T) {
	needVM(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Second, cancel)
	start := time.Now()
	_, err := Boot(ctx, Guest{Kernel: stable, Commands: []Command{Shell("sleep 1000")}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("cancel took %s", took)
	}
}

// TestBootIcount holds that emulated time repeats: that is what it is for.
func TestBootIcount(t *testing.T) {
	needVM(t)
	var seen []string
	for range 2 {
		result, err := Boot(t.Context(), Guest{
			Kernel: stable, Icount: true,
			Commands: []Command{Shell("i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; head -4 /proc/timer_list; nproc")},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s after %s: %q", result.Release, result.Total, result.Commands[0].Output)
		seen = append(seen, result.Commands[0].Output)
	}
	if seen[0] != seen[1] {
		t.Errorf("time differs between equal runs: %q", seen)
	}
}

// TestQEMUDiesWithParent kills a process that has a guest, the hard way.
func TestQEMUDiesWithParent(t *testing.T) {
	needVM(t)
	if os.Getenv("BRINK_VM_PARENT") == "1" {
		_, err := Boot(context.Background(), Guest{Kernel: stable, Commands: []Command{Shell("sleep 1000")}, Output: os.Stdout})
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestQEMUDiesWithParent$")
	parent.Env = append(os.Environ(), "BRINK_VM_PARENT=1", "TMPDIR="+t.TempDir())
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	eventually(t, "guest to start", func() bool {
		child = childOf(parent.Process.Pid)
		return child != 0
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	parent.Wait() // killed: its error is the point
	eventually(t, "guest to die", func() bool { return !fileExists(fmt.Sprintf("/proc/%d/cmdline", child)) || zombie(child) })
}

func childOf(pid int) (child int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		text, _ := os.ReadFile(file) // the thread may be gone
		if n, _ := fmt.Sscan(string(text), &child); n == 1 {
			command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
			if strings.HasPrefix(string(command), qemuBinary) {
				return child
			}
		}
	}
	return 0
}

// zombie says whether a process is dead and only waits for its new parent.
func zombie(pid int) bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return strings.Contains(string(status), "State:\tZ")
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited for %s in vain", what)
}

// TestMatrix boots every kernel and checks there what all other tests in
// guests rest on: BTF, the modules, and both kinds of function hooks.
func TestMatrix(t *testing.T) {
	needVM(t)
	binary := filepath.Join(t.TempDir(), "vm.test")
	if err := BuildTest(t.Context(), "brink/loader/vm", binary); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	results, err := Matrix(t.Context(), MatrixOptions{
		Output: &log,
		Guest: Guest{
			Files: []File{{Path: "/bin/vm.test", From: binary}},
			Commands: []Command{
				{Args: []string{"uname", "-a"}},
				{Args: []string{"ls", "/sys/kernel/btf/vmlinux"}},
				{Args: []string{"ls", "-d", "/sys/module/veth", "/sys/module/nf_tables", "/sys/module/nft_masq", "/sys/module/tcp_diag"}},
				Shell("cd /sys/module && cat nf_conntrack/parameters/hashsize && cat /proc/sys/net/netfilter/nf_conntrack_max"),
				{Args: []string{"/bin/vm.test", "-test.v", "-test.run=^TestInGuest"}, Env: []string{"BRINK_VM_GUEST=1"}},
			},
		},
	})
	t.Log("\n" + log.String())
	var table strings.Builder
	ok := Report(&table, results)
	t.Log("\n" + table.String())
	if err != nil {
		t.Error(err)
	}
	if !ok {
		t.Error("not all commands succeeded on all kernels")
	}
	for i, r := range results {
		if !strings.HasPrefix(r.Release, Kernels[i].Series+".") {
			t.Errorf("%s is %s", Kernels[i], r.Release)
		}
	}
}
