package text

import (
	"fmt"
	"strings"

	"brink/collector"

	"golang.org/x/sys/unix"
)

// named is how many holders a line names: those that listen come first.
const named = 3

// conflict is a refused bind in a line: who holds the port, by which rule that
// refuses, and what would have allowed it. Holders with one rule share it.
func conflict(b *collector.BindConflict) string {
	s := unix.ErrnoName(b.Errno)
	if len(b.Holders) == 0 {
		return s + " holder not found"
	}
	s += " held by "
	holders := b.Holders[:min(named, len(b.Holders))]
	for i := range holders {
		h, last := &holders[i], i == len(holders)-1
		s += holder(h)
		switch {
		case !last && h.Rule == holders[i+1].Rule:
			s += ", "
			continue
		case h.Rule.Sentence() != "":
			s += ": " + h.Rule.Sentence()
		}
		if !last {
			s += "; by "
		}
	}
	if more := len(b.Holders) - len(holders) + b.Unnamed; more > 0 {
		s += fmt.Sprintf("; and by %d more", more)
	}
	if remedy := b.Remedy(); remedy != "" {
		s += "; " + remedy + comma(remedy) + " would allow it"
	}
	return s
}

// comma closes the clause that a remedy ends with.
func comma(remedy string) string {
	if strings.Contains(remedy, ",") {
		return ","
	}
	return ""
}

func holder(h *collector.Holder) string {
	who := "no process"
	if h.PID != 0 {
		who = fmt.Sprintf("%d %s", h.PID, printable(h.Name))
	}
	if h.Peer.IsValid() {
		return fmt.Sprintf("%s (%s %s to %s)", who, h.StateName(), h.Local, h.Peer)
	}
	return fmt.Sprintf("%s (%s %s)", who, h.StateName(), h.Local)
}
