package ledger

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// Counters are one namespace's, under the kernel's names; doc.go says what they
// count. TW to TCPTimeWaitOverflow grow only.
type Counters struct {
	Tw                  int64 // sockstat's "tw", a gauge
	TW                  int64
	TWKilled            int64
	TWRecycled          int64
	TCPTimeWaitOverflow int64
}

// since is the growth of what grows; the gauge stays.
func (c Counters) since(before Counters) Counters {
	c.TW -= before.TW
	c.TWKilled -= before.TWKilled
	c.TWRecycled -= before.TWRecycled
	c.TCPTimeWaitOverflow -= before.TCPTimeWaitOverflow
	return c
}

// fell reports whether a counter that only grows has not: it is another
// namespace's.
func (c Counters) fell() bool {
	return min(c.TW, c.TWKilled, c.TWRecycled, c.TCPTimeWaitOverflow) < 0
}

// parseNetstat reads the pair of lines that begin with "TcpExt:", names above
// values, of /proc/net/netstat.
func (c *Counters) parseNetstat(content string) error {
	var names []string
	for line := range strings.Lines(content) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || fields[0] != "TcpExt:":
		case names == nil:
			names = fields
		default:
			return c.setAll(names, fields)
		}
	}
	return errors.New("netstat has no TcpExt")
}

func (c *Counters) setAll(names, values []string) error {
	wanted := map[string]*int64{
		"TW": &c.TW, "TWKilled": &c.TWKilled, "TWRecycled": &c.TWRecycled,
		"TCPTimeWaitOverflow": &c.TCPTimeWaitOverflow,
	}
	for i, name := range names {
		to := wanted[name]
		if to == nil || i >= len(values) {
			continue
		}
		n, err := strconv.ParseInt(values[i], 10, 64)
		if err != nil {
			return fmt.Errorf("TcpExt %s: %w", name, err)
		}
		*to = n
		delete(wanted, name)
	}
	for name := range wanted {
		return fmt.Errorf("TcpExt has no %s", name)
	}
	return nil
}

// parseSockstat reads "TCP: inuse 5 orphan 0 tw 3 alloc 8 mem 0" of
// /proc/net/sockstat.
func (c *Counters) parseSockstat(content string) (err error) {
	c.Tw, err = sockstat(content, "TCP:", "tw")
	return err
}

// sockstat is one number of /proc/net/sockstat or sockstat6: lines of a
// protocol with names, each before its value.
func sockstat(content, protocol, name string) (int64, error) {
	for line := range strings.Lines(content) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != protocol {
			continue
		}
		for i := 1; i+1 < len(fields); i += 2 {
			if fields[i] == name {
				return strconv.ParseInt(fields[i+1], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("sockstat has no %s %s", protocol, name)
}

// CountsEntries reports whether this kernel's TW and TWKilled count entries, as
// they do since 5.18, or ends by timer, as before. The change took the bit-field
// tw_kill out of struct inet_timewait_sock ("tcp/dccp: no longer use
// twsk_net(tw) from tw_timer_handler()"), so it is seen also where it was
// ported back.
func CountsEntries() (bool, error) {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return false, fmt.Errorf("look up what the counter TW counts: %w", err)
	}
	var tw *btf.Struct
	if err := kernel.TypeByName("inet_timewait_sock", &tw); err != nil {
		return false, fmt.Errorf("look up what the counter TW counts: %w", err)
	}
	for _, m := range tw.Members {
		if m.Name == "tw_kill" {
			return false, nil
		}
	}
	return true, nil
}
