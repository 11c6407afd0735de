package vm

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

const qemuBinary = "qemu-system-x86_64"

// kernelArgs is the guest kernel's command line.
var kernelArgs = strings.Join([]string{
	// Say little (the serial line is slow), but end the guest on an oops or a
	// panic, and say that: with QEMU's -no-reboot a reboot is an end.
	"console=ttyS0", "quiet", "oops=panic", "panic=-1",
	// An emulated CPU leaks nothing and has little to measure or to wait for.
	"mitigations=off", "nokaslr", "tsc=reliable", "no_timer_check",
	"random.trust_cpu=on", "cryptomgr.notests",
	// A busy host is no soft lock-up.
	"nowatchdog",
	// Security modules are a quarter of the boot.
	"audit=0", "apparmor=0", "selinux=0", "lsm=",
}, " ")

// accelerator has one thread run all of a guest's CPUs in turn. With one for each, QEMU
// before 8.1 may translate an instruction that another CPU is patching just then, and
// keep what it was (mended by deba78709ae8): kernels patch for each hook and while they
// boot, and such a guest stays at int3 for ever. Two guests side by side are as fast.
const accelerator = "tcg,thread=single,tb-size=256"

// qemuArgs is QEMU's command line for a guest. KVM is not used even where it
// exists, so that a run is the same everywhere.
func qemuArgs(g Guest, kernel, initrd, console string) []string {
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "pc", "-accel", accelerator, "-cpu", "max,-cx16",
		"-smp", strconv.Itoa(g.CPUs), "-m", strconv.Itoa(g.Memory),
		"-kernel", kernel, "-initrd", initrd, "-append", kernelArgs,
		// The kernel's console to a file, the framed line to our pipe.
		"-serial", "file:" + console,
		"-serial", "file:/dev/stdout",
	}
	if g.Icount {
		// shift=0: an instruction is a nanosecond. sleep=off: an idle guest
		// skips to its next timer. The clock and the CPU's random numbers
		// start the same each time.
		args = append(args, "-icount", "shift=0,sleep=off", "-rtc", "base=2030-01-01,clock=vm", "-seed", "1")
	}
	return args
}

// A machine is a running QEMU.
type machine struct {
	frames  io.Reader
	console string // file
	stderr  strings.Builder
	kill    context.CancelFunc
	ended   chan error
}

// startMachine writes the initramfs below dir and starts QEMU. QEMU dies with
// ctx, and also when this process is killed: the kernel sends Pdeathsig when
// the thread that started a process ends, so that thread is kept, locked,
// until QEMU has ended.
func startMachine(ctx context.Context, g Guest, image Image, dir string) (*machine, error) {
	initrd := filepath.Join(dir, "initramfs.cpio")
	if err := writeFile(initrd, func(out io.Writer) error { return writeInitramfs(out, g, image) }); err != nil {
		return nil, err
	}
	ctx, kill := context.WithCancel(ctx)
	m := &machine{console: filepath.Join(dir, "console"), kill: kill, ended: make(chan error, 1)}
	cmd := exec.CommandContext(ctx, qemuBinary, qemuArgs(g, image.boot(), initrd, m.console)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = &m.stderr
	frames, write, err := os.Pipe()
	if err != nil {
		kill()
		return nil, err
	}
	m.frames, cmd.Stdout = frames, write
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		write.Close() // ours: the frames end when QEMU does
		started <- err
		if err == nil {
			m.ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		kill()
		frames.Close()
		return nil, fmt.Errorf("start qemu: %w (install qemu-system-x86)", err)
	}
	return m, nil
}

// wait returns QEMU's own failure, if it had one.
func (m *machine) wait() error {
	if err := <-m.ended; err != nil {
		return fmt.Errorf("qemu: %w: %s", err, lastLines(m.stderr.String(), 4))
	}
	return nil
}

func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := write(file); err != nil {
		return err
	}
	return file.Close()
}
