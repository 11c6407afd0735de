package lab

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// addConntrack reads what connection tracking counts: a line of names and then
// one of hexadecimal numbers for each CPU, which are added up. The first column
// is none of those: it is the namespace's number of entries, and in every line
// the same.
//
//	entries  clashres found new … drop early_drop …
//	00000003 00000000 00000000 …
func addConntrack(counters map[string]uint64, r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Scan()
	names := strings.Fields(lines.Text())
	for lines.Scan() {
		for i, value := range strings.Fields(lines.Text()) {
			n, err := strconv.ParseUint(value, 16, 64)
			if err != nil || i >= len(names) {
				continue
			}
			if i == 0 {
				counters["conntrack.entries"] = n
				continue
			}
			counters["conntrack."+names[i]] += n
		}
	}
	return lines.Err()
}
