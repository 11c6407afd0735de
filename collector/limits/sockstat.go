package limits

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const sockstatSource = "/proc/net/sockstat"

// Sockstat is the TCP line of /proc/net/sockstat (sockstat_seq_show). TimeWait
// is the namespace's own; Orphans and Memory are the host's, in each namespace.
type Sockstat struct {
	TimeWait uint64 // timewait sockets, of both kinds
	Orphans  uint64 // closed by their program, and still not done
	Memory   uint64 // of all buffers, in pages
}

func parseSockstat(content string) (Sockstat, error) {
	var s Sockstat
	wanted := map[string]*uint64{"tw": &s.TimeWait, "orphan": &s.Orphans, "mem": &s.Memory}
	for line := range strings.Lines(content) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(fields); i += 2 {
			into := wanted[fields[i]]
			if into == nil {
				continue
			}
			n, err := strconv.ParseUint(fields[i+1], 10, 64)
			if err != nil {
				return Sockstat{}, fmt.Errorf("sockstat has %s %q", fields[i], fields[i+1])
			}
			*into = n
			delete(wanted, fields[i])
		}
	}
	if len(wanted) > 0 {
		return Sockstat{}, errors.New("sockstat has no complete TCP line")
	}
	return s, nil
}
