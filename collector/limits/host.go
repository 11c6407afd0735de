package limits

import (
	"fmt"
	"os"
)

// hostReadings are the limits that all processes and namespaces share.
func hostReadings() []Reading {
	list := append(fileTable(), taskReadings()...)
	content, err := os.ReadFile(sockstatSource)
	if err != nil {
		return list
	}
	if s, err := parseSockstat(string(content)); err == nil {
		list = append(list, tcpMemory(s)...)
		list = append(list, orphans(s)...)
	}
	return list
}

// fileTable: allocated minus free is what alloc_empty_file compares.
func fileTable() []Reading {
	const source = "/proc/sys/fs/file-nr"
	content, err := os.ReadFile(source)
	if err != nil {
		return nil
	}
	n, err := numbers(string(content), 3)
	if err != nil || n[1] > n[0] {
		return nil
	}
	return []Reading{{
		Limit: FileTable, Used: n[0] - n[1], Max: n[2], Knob: knob("fs.file-max", n[2]), Source: source,
	}}
}

// tcpMemory is absent in a namespace other than the first, which alone has the
// sysctl; the memory is the host's.
func tcpMemory(s Sockstat) []Reading {
	value, err := sysctl("net.ipv4.tcp_mem")
	if err != nil {
		return nil
	}
	thresholds, err := numbers(value, 3) // no pressure below, pressure above, never above
	if err != nil {
		return nil
	}
	r := Reading{
		Limit: TCPMemory, Used: s.Memory, Max: thresholds[2],
		Knob:   fmt.Sprintf("net.ipv4.tcp_mem = %d %d %d", thresholds[0], thresholds[1], thresholds[2]),
		Source: sockstatSource,
	}
	if s.Memory > thresholds[1] {
		r.Note = fmt.Sprintf("under pressure, above %d", thresholds[1])
	}
	return []Reading{r}
}

// orphans: a socket that sends without an answer for long counts two or four
// times against the limit (tcp_out_of_resources), so that some are reset before
// it is met.
func orphans(s Sockstat) []Reading {
	most, err := sysctlNumber("net.ipv4.tcp_max_orphans")
	if err != nil {
		return nil
	}
	return []Reading{{
		Limit: Orphans, Used: s.Orphans, Max: most, Knob: knob("net.ipv4.tcp_max_orphans", most), Source: sockstatSource,
	}}
}
