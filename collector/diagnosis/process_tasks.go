package diagnosis

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"brink/collector"
	"brink/collector/limits"
)

// readTasks finds what bounds the number of threads: the user's RLIMIT_NPROC,
// from which root is exempt, and pids.max of the cgroup and those above it.
func (p *Process) readTasks() {
	if p.UID != 0 && p.MaxTasks != 0 {
		p.Tasks = append(p.Tasks, limits.Reading{
			Limit: limits.Threads, UID: p.UID, Used: tasksOf(p.UID), Max: p.MaxTasks,
			Knob: fmt.Sprintf("RLIMIT_NPROC = %d", p.MaxTasks), Source: "/proc/*/status",
		})
	}
	root := collector.CgroupRoot()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.PID))
	if root == "" || err != nil {
		return
	}
	for path := unifiedPath(string(content)); path != "/" && path != "." && path != ""; path = filepath.Dir(path) {
		p.addCgroup(root, path)
	}
}

func (p *Process) addCgroup(root, path string) {
	now, err := readNumber(filepath.Join(root, path, "pids.current"))
	if err != nil {
		return
	}
	most, err := readNumber(filepath.Join(root, path, "pids.max"))
	if err != nil {
		return // "max"
	}
	p.Tasks = append(p.Tasks, limits.Reading{
		Limit: limits.Threads, Cgroup: path, Used: now, Max: most,
		Knob: fmt.Sprintf("pids.max = %d", most), Source: filepath.Join(root, path, "pids.current"),
	})
}

// tasksOf are all threads of a user's processes. User namespaces count apart
// from each other, which this sum does not see.
func tasksOf(uid uint32) (n uint64) {
	paths, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if s, _, err := parseStatus(string(content)); err == nil && s.UID == uid {
			n += s.Threads
		}
	}
	return n
}

// unifiedPath is the cgroup v2 line of /proc/PID/cgroup.
func unifiedPath(content string) string {
	for line := range strings.Lines(content) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path
		}
	}
	return ""
}

func readNumber(path string) (uint64, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(content)), 10, 64)
}
