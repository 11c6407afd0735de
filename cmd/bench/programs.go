package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// programsOf are the BPF programs that a process has linked to something, by
// the kernel's numbers: what its descriptors are, /proc tells.
func programsOf(pid int) (ids []uint32) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), "link_type:") {
			continue
		}
		for line := range strings.Lines(string(text)) {
			number, ok := strings.CutPrefix(line, "prog_id:")
			if !ok {
				continue
			}
			if id, err := strconv.ParseUint(strings.TrimSpace(number), 10, 32); err == nil && !slices.Contains(ids, uint32(id)) {
				ids = append(ids, uint32(id))
			}
		}
	}
	return ids
}
