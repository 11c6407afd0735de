package limits

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// taskReadings are the host's limits on its number of tasks.
func taskReadings() (list []Reading) {
	loadavg, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil
	}
	now, err := parseThreads(string(loadavg))
	if err != nil {
		return nil
	}
	for _, name := range []string{"kernel.threads-max", "kernel.pid_max"} {
		// pid_max bounds numbers: some belong to sessions and groups whose first
		// process has gone, and the first 300 are not used again (RESERVED_PIDS)
		if most, err := sysctlNumber(name); err == nil {
			list = append(list, Reading{
				Limit: Threads, Used: now, Max: most, Knob: knob(name, most), Source: "/proc/loadavg",
			})
		}
	}
	return list
}

func knob(name string, value uint64) string { return fmt.Sprintf("%s = %d", name, value) }

// userReadings are the tasks of each user against the smallest soft RLIMIT_NPROC
// among its processes: each is held to its own limit, but to the count of all
// of the user's tasks (copy_process, is_rlimit_overlimit). Root is exempt. User
// namespaces count apart from each other, which this sum does not see.
func userReadings(processes []process) []Reading {
	users := map[uint32]*Reading{}
	for _, p := range processes {
		if p.uid == 0 {
			continue
		}
		r := users[p.uid]
		if r == nil {
			r = &Reading{Limit: Threads, UID: p.uid, Source: "/proc/PID/status"}
			users[p.uid] = r
		}
		r.Used += p.threads
		if p.maxTasks.finite() && (r.Knob == "" || p.maxTasks.soft < r.Max) {
			r.Max = p.maxTasks.soft
			r.Knob = p.maxTasks.knob("RLIMIT_NPROC")
			r.Note = fmt.Sprintf("the limit of %s[%d]", p.name, p.pid)
		}
	}
	var list []Reading
	for _, r := range users {
		if r.Knob != "" {
			list = append(list, *r)
		}
	}
	return list
}

// cgroupReadings are the cgroups that bound their number of tasks (pids.max),
// version 2 or the pids hierarchy of version 1.
func cgroupReadings() (list []Reading) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil
	}
	for _, root := range pidsHierarchies(string(mounts)) {
		_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				list = append(list, cgroupReading(root, path)...)
			}
			return nil // one that went away meanwhile, or is not ours to see
		})
	}
	return list
}

// pidsHierarchies are the places where a pids controller may be found.
func pidsHierarchies(mounts string) (roots []string) {
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		if f[2] == "cgroup2" || f[2] == "cgroup" && slices.Contains(strings.Split(f[3], ","), "pids") {
			roots = append(roots, f[1])
		}
	}
	return roots
}

// cgroupReading is none where the number of tasks has no bound.
func cgroupReading(root, path string) []Reading {
	most, err := readNumber(filepath.Join(path, "pids.max"))
	if err != nil {
		return nil // "max", or no such file
	}
	now, err := readNumber(filepath.Join(path, "pids.current"))
	if err != nil {
		return nil
	}
	return []Reading{{
		Limit: Threads, Cgroup: "/" + strings.TrimPrefix(strings.TrimPrefix(path, root), "/"),
		Used: now, Max: most, Knob: knob("pids.max", most), Source: filepath.Join(path, "pids.current"),
	}}
}

func readNumber(path string) (uint64, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := numbers(string(content), 1)
	if err != nil {
		return 0, err
	}
	return n[0], nil
}
