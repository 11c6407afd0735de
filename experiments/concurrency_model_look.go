package experiments

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"brink/experiments/lab/osthread"

	"golang.org/x/sys/unix"
)

// modelLook is what a server uses; sizes are in bytes.
type modelLook struct {
	User       int // anonymous memory that is in use (Pss_Anon)
	PageTables int // VmPTE
	Tasks      int
	// KernelStack is one task's: the host's stacks by the host's tasks, since no
	// file has the kernel's THREAD_SIZE.
	KernelStack int
	Reserved    int // VmData: address space
	Page        int
	Stack       int // reserved for one of osthread's threads
}

// own is the process' memory, and memory is with the kernel's for its tasks.
func (m modelLook) own() int    { return m.User + m.PageTables }
func (m modelLook) memory() int { return m.own() + m.Tasks*m.KernelStack }

// lookAtModelInside collects garbage first: it is no connection's.
func lookAtModelInside(struct{}) (m modelLook, err error) {
	debug.FreeOSMemory()
	status, err := readStatus("/proc/self/status")
	if err != nil {
		return m, err
	}
	memory, err := readStatus("/proc/self/smaps_rollup") // 4.14; Pss_Anon 5.4
	if err != nil {
		return m, err
	}
	m.User, m.PageTables = kilobytes(memory["Pss_Anon"]), kilobytes(status["VmPTE"])
	m.Page, m.Stack = os.Getpagesize(), osthread.DefaultStackSize()
	m.Tasks, m.Reserved = int(number(status["Threads"])), kilobytes(status["VmData"])
	m.KernelStack, err = kernelStack()
	return m, err
}

// countSwitchesInside: those of all threads when one had to wait for something.
// Nothing else happens here, since that would count too.
func countSwitchesInside(struct{}) (int, error) {
	var usage unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &usage)
	return int(usage.Nvcsw), err
}

// kernelStack is rounded to whole pages: some stacks are kept for tasks to come.
func kernelStack() (int, error) {
	host, err := readStatus("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	load, err := os.ReadFile("/proc/loadavg") // 0.00 0.01 0.05 2/265 17054: 265 tasks
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(load))
	if len(fields) < 4 {
		return 0, fmt.Errorf("/proc/loadavg is %q", load)
	}
	_, tasks, _ := strings.Cut(fields[3], "/")
	page := float64(os.Getpagesize())
	each := float64(kilobytes(host["KernelStack"])) / float64(max(number(tasks), 1))
	return int(float64(int(each/page+0.5)) * page), nil
}

// readStatus reads lines of a name, a colon and a value.
func readStatus(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		values[name] = strings.TrimSpace(value)
	}
	return values, err
}

func number(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64) // 0 where this kernel does not tell
	return n
}

func kilobytes(text string) int { return int(number(strings.TrimSuffix(text, " kB"))) << 10 }
