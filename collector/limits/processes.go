package limits

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// process is what one walk over /proc reads of each process.
type process struct {
	pid     uint32
	name    string
	uid     uint32 // real: RLIMIT_NPROC counts by it
	threads uint64

	descriptors              uint64
	descriptorsKnown         bool
	maxDescriptors, maxTasks rlimit
}

// rlimit is a resource limit; unlimited is math.MaxUint64, as RLIM_INFINITY.
type rlimit struct{ soft, hard uint64 }

func (l rlimit) finite() bool { return l.soft != math.MaxUint64 && l != rlimit{} }

func (l rlimit) knob(name string) string {
	if l.hard == math.MaxUint64 {
		return fmt.Sprintf("%s = %d", name, l.soft)
	}
	return fmt.Sprintf("%s = %d, hard limit %d", name, l.soft, l.hard)
}

// pids lists the processes, lowest first: /proc lists them in that order.
func pids() (list []uint32) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.ParseUint(name, 10, 32); err == nil {
			list = append(list, uint32(pid))
		}
	}
	return list
}

// readProcesses reads them all; one that ends meanwhile is left out.
func readProcesses(pids []uint32) (list []process) {
	for _, pid := range pids {
		if p, err := readProcess(pid); err == nil {
			list = append(list, p)
		}
	}
	return list
}

func readProcess(pid uint32) (process, error) {
	p := process{pid: pid}
	dir := fmt.Sprintf("/proc/%d/", pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return p, err
	}
	if err := p.parseStatus(string(status)); err != nil {
		return p, fmt.Errorf("%sstatus: %w", dir, err)
	}
	bounds, err := os.ReadFile(dir + "limits")
	if err != nil {
		return p, err
	}
	p.parseLimits(string(bounds))
	p.descriptors, err = countDescriptors(dir + "fd")
	p.descriptorsKnown = err == nil
	return p, nil
}

func (p *process) parseStatus(content string) error {
	missing := 3
	for line := range strings.Lines(content) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Name":
			p.name = value
			missing--
		case "Uid": // real, effective, saved, file system
			ids, err := numbers(value, 4)
			if err != nil {
				return err
			}
			p.uid = uint32(ids[0])
			missing--
		case "Threads":
			n, err := numbers(value, 1)
			if err != nil {
				return err
			}
			p.threads = n[0]
			missing--
		}
	}
	if missing != 0 {
		return errors.New("lines are missing")
	}
	return nil
}

// parseLimits reads /proc/PID/limits, which anybody may, and prlimit(2) may not.
func (p *process) parseLimits(content string) {
	for line := range strings.Lines(content) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			p.maxDescriptors = parseRlimit(rest)
		}
		if rest, ok := strings.CutPrefix(line, "Max processes"); ok {
			p.maxTasks = parseRlimit(rest)
		}
	}
}

// parseRlimit takes soft and hard limit; the zero rlimit stands for neither.
func parseRlimit(s string) rlimit {
	fields := strings.Fields(s)
	if len(fields) < 2 {
		return rlimit{}
	}
	var l rlimit
	for i, into := range []*uint64{&l.soft, &l.hard} {
		*into = math.MaxUint64
		if fields[i] == "unlimited" {
			continue
		}
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return rlimit{}
		}
		*into = n
	}
	return l
}

// sizeCounts reports whether the size of /proc/PID/fd is the number of open
// descriptors, as it is since 6.2 (f1f1f2569901), for anybody to see.
var sizeCounts = sync.OnceValue(func() bool {
	var stat unix.Stat_t
	return unix.Stat("/proc/self/fd", &stat) == nil && stat.Size > 0
})

// countDescriptors counts the open descriptors of /proc/PID/fd. Where the size
// does not say so, the entries are counted, which takes the process's own user.
func countDescriptors(dir string) (uint64, error) {
	if !sizeCounts() {
		return entries(dir)
	}
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	return uint64(stat.Size), nil
}

func entries(dir string) (uint64, error) {
	open, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer open.Close()
	names, err := open.Readdirnames(-1)
	return uint64(len(names)), err
}

// Descriptors is how many file descriptors a process has open, and its soft
// RLIMIT_NOFILE. The kernel compares the limit with the lowest free number, so
// that the two agree unless the process left gaps on purpose (dup2).
func Descriptors(pid uint32) (Reading, error) {
	p, err := readProcess(pid)
	if err != nil {
		return Reading{}, fmt.Errorf("count the descriptors of process %d: %w", pid, err)
	}
	if !p.descriptorsKnown {
		return Reading{}, fmt.Errorf("count the descriptors of process %d: %w", pid, fs.ErrPermission)
	}
	return p.reading(), nil
}

func (p *process) reading() Reading {
	return Reading{
		Limit: FileDescriptors, PID: p.pid, Process: p.name,
		Used: p.descriptors, Max: p.maxDescriptors.soft,
		Knob: p.maxDescriptors.knob("RLIMIT_NOFILE"), Source: fmt.Sprintf("/proc/%d/fd", p.pid),
	}
}

// descriptorReadings are those of all processes that have any open.
func descriptorReadings(processes []process) (list []Reading) {
	for i := range processes {
		if p := &processes[i]; p.descriptors > 0 && p.maxDescriptors.finite() {
			list = append(list, p.reading())
		}
	}
	return list
}
