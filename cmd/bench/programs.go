package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// programsOf are the BPF programs that a process has attached to something, by the
// kernel's numbers: by a link, as /proc tells, or, as older libraries do, by a perf event.
func programsOf(pid int) (ids []uint32) {
	descriptors, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, path := range descriptors {
		fd, err := strconv.ParseUint(filepath.Base(path), 10, 32)
		if err != nil {
			continue
		}
		id, found := linked(pid, fd)
		if target, _ := os.Readlink(path); target == "anon_inode:[perf_event]" {
			id, found = programOfEvent(pid, fd)
		}
		if found && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// linked is the program of a BPF link.
func linked(pid int, fd uint64) (id uint32, found bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	if err != nil || !strings.Contains(string(text), "link_type:") {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if number, ok := strings.CutPrefix(line, "prog_id:"); ok {
			id, err := strconv.ParseUint(strings.TrimSpace(number), 10, 32)
			return uint32(id), err == nil
		}
	}
	return 0, false
}

// programOfEvent is the program of a perf event (BPF_TASK_FD_QUERY, since 4.18).
func programOfEvent(pid int, fd uint64) (id uint32, found bool) {
	query := struct { // union bpf_attr, task_fd_query
		pid, fd, flags, bufLen uint32
		buf                    uint64
		prog, fdType           uint32
		offset, addr           uint64
	}{pid: uint32(pid), fd: uint32(fd)}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_TASK_FD_QUERY, uintptr(unsafe.Pointer(&query)), unsafe.Sizeof(query))
	return query.prog, errno == 0
}
