package main

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// memoryCost is what one end of an idle connection takes from the kernel: four
// objects. Buffers come with data only; a connecting end has 256 bytes more, for
// its port (tcp_bind_bucket, tcp_bind2_bucket).
type memoryCost struct {
	parts    []quantity // bytes each
	measured bool       // from /proc/slabinfo, not the constants
}

// perEnd is their sum.
func (m *memoryCost) perEnd() (sum uint64) {
	for _, p := range m.parts {
		sum += p.value
	}
	return sum
}

// String names the parts, and where their sizes are from.
func (m *memoryCost) String() string {
	var parts []string
	for _, p := range m.parts {
		parts = append(parts, fmt.Sprintf("%s %d", p.name, p.value))
	}
	from := "sizes of Linux 6.18 on x86-64, since /proc/slabinfo is for root alone"
	if m.measured {
		from = "/proc/slabinfo"
	}
	return fmt.Sprintf("%s (%s)", strings.Join(parts, ", "), from)
}

// objects are their caches, with the bytes an object has on 6.18 (x86-64); a
// socket over IPv6 is larger.
func objects(to netip.Addr) []quantity {
	socket := quantity{"TCP", 2368}
	if to.Is6() {
		socket = quantity{"TCPv6", 2496}
	}
	return []quantity{socket, {"sock_inode_cache", 832}, {"filp", 192}, {"dentry", 192}}
}

// readMemoryCost takes the constants where /proc/slabinfo cannot be read (root
// may), or does not name a cache: the kernel merges those that are alike.
func readMemoryCost(to netip.Addr) memoryCost {
	m := memoryCost{parts: objects(to)}
	content, err := os.ReadFile("/proc/slabinfo")
	if err != nil {
		return m
	}
	sizes := parseSlabinfo(string(content))
	for i, p := range m.parts {
		if size := sizes[p.name]; size > 0 {
			m.parts[i].value = size
			m.measured = true
		}
	}
	return m
}

// parseSlabinfo maps each cache to what one object takes of its slab's pages,
// which is more than its size: 13 objects of 2,368 bytes fill eight pages.
func parseSlabinfo(content string) map[string]uint64 {
	sizes := map[string]uint64{}
	for line := range strings.Lines(content) {
		// name, active_objs, num_objs, objsize, objperslab, pagesperslab, …
		f := strings.Fields(line)
		if len(f) < 6 || strings.HasPrefix(line, "#") {
			continue
		}
		perSlab, err := strconv.ParseUint(f[4], 10, 32)
		pages, err2 := strconv.ParseUint(f[5], 10, 32)
		if err == nil && err2 == nil && perSlab > 0 {
			sizes[f[0]] = pages * uint64(os.Getpagesize()) / perSlab
		}
	}
	return sizes
}

// memAvailable is how many bytes the host can still give without swapping.
func memAvailable() (uint64, error) {
	content, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kibibytes, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 54)
			return kibibytes << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no MemAvailable")
}
