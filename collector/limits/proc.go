package limits

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// sysctl reads a setting by its dotted name. Names below net. are those of the
// calling thread's network namespace: /proc/sys/net looks at the task that opens
// it (net_ctl_header_lookup).
func sysctl(name string) (string, error) {
	value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	return strings.TrimSpace(string(value)), err
}

// sysctlNumber reads a setting that is one number, not negative.
func sysctlNumber(name string) (uint64, error) {
	value, err := sysctl(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is %q: %w", name, value, strconv.ErrSyntax)
	}
	return n, nil
}

// numbers parses a line of at least n numbers, such as /proc/sys/fs/file-nr.
func numbers(line string, n int) ([]uint64, error) {
	fields := strings.Fields(line)
	if len(fields) < n {
		return nil, fmt.Errorf("%q has fewer than %d numbers", line, n)
	}
	list := make([]uint64, n)
	for i := range list {
		var err error
		if list[i], err = strconv.ParseUint(fields[i], 10, 64); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	return list, nil
}

// parseThreads reads the host's number of threads from /proc/loadavg, where it
// follows the slash: nr_threads, the very counter that copy_process compares.
func parseThreads(loadavg string) (uint64, error) {
	_, rest, _ := strings.Cut(loadavg, "/")
	total, _, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(total, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q has no number of threads", loadavg)
	}
	return n, nil
}
