package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode"

	"brink/collector/limits"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// From here on a row is coloured, and the limit is explained.
const (
	tight     = 0.7
	exhausted = 0.9
)

// idleListeners is how many listeners are shown with nothing waiting: those
// with the shortest queues, which overflow first.
const idleListeners = 5

// limitsText shows the readings that tell something, then advice on what is
// tight, then what was left out.
func limitsText(w io.Writer, s limits.Snapshot, colour bool) {
	shown, idle := telling(s.Readings)
	limitsTable(w, shown, colour)
	for _, line := range advice(shown) {
		fmt.Fprintln(w, line)
	}
	for _, line := range leftOut(s.LeftOut, idle) {
		fmt.Fprintln(w, line)
	}
}

// telling drops readings of which nothing is used, except those of the host and
// of brink's own namespace, which there is one of each, and counts the dropped.
func telling(readings []limits.Reading) (shown []limits.Reading, idle int) {
	own, listeners := limits.OwnNetns(), 0
	for _, r := range readings {
		keep := r.Used > 0 || r.HostWide() || r.Netns == own && !r.Local.IsValid()
		if !keep && r.Limit == limits.AcceptQueue && listeners < idleListeners {
			listeners++
			keep = true
		}
		if !keep {
			idle++
			continue
		}
		shown = append(shown, r)
	}
	return shown, idle
}

func limitsTable(w io.Writer, readings []limits.Reading, colour bool) {
	t := newTable(w)
	notes, namespaces := false, map[uint32]bool{}
	for _, r := range readings {
		notes = notes || r.Note != ""
		if r.Netns != 0 {
			namespaces[r.Netns] = true
		}
	}
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 3, Hidden: len(namespaces) < 2},
		{Number: 4, Align: text.AlignRight, AlignHeader: text.AlignRight},
		{Number: 5, Align: text.AlignRight, AlignHeader: text.AlignRight},
		{Number: 6, Align: text.AlignRight, AlignHeader: text.AlignRight},
		{Number: 7, Align: text.AlignRight, AlignHeader: text.AlignRight},
		{Number: 9, Hidden: !notes},
	})
	t.AppendHeader(table.Row{"LIMIT", "WHOSE", "NETNS", "USED", "MAX", "%", "FULL IN", "KNOB", "NOTE"})
	for i := range readings {
		t.AppendRow(limitsRow(&readings[i], colour))
	}
	t.Render()
}

func limitsRow(r *limits.Reading, colour bool) table.Row {
	netns := ""
	if r.Netns != 0 {
		netns = fmt.Sprint(r.Netns)
	}
	paint := func(s string) string { return s }
	if colour {
		paint = painter(r.Utilisation())
	}
	return table.Row{
		paint(r.Limit.String()), whose(r), netns, fmt.Sprint(r.Used), maximum(r.Max),
		paint(fmt.Sprintf("%.1f", 100*r.Utilisation())), fullIn(r), r.Knob, r.Note,
	}
}

func painter(utilisation float64) func(string) string {
	code := ""
	switch {
	case utilisation >= exhausted:
		code = "\x1b[31m" // red
	case utilisation >= tight:
		code = "\x1b[33m" // yellow
	default:
		return func(s string) string { return s }
	}
	return func(s string) string { return code + s + "\x1b[0m" }
}

// whose names the subject of a reading.
func whose(r *limits.Reading) string {
	owner := ""
	if r.PID != 0 {
		owner = fmt.Sprintf("%s[%d]", printable(r.Process), r.PID)
	}
	switch {
	case r.Peer.IsValid():
		return fmt.Sprintf("%s -> %s %s", r.Local.Addr(), r.Peer, r.Transport)
	case r.Local.IsValid() && r.Local.Port() != 0:
		return strings.TrimSuffix(fmt.Sprintf("%s %s", r.Local, owner), " ")
	case r.Local.IsValid():
		return fmt.Sprintf("%s, any destination %s", r.Local.Addr(), r.Transport)
	case r.PID != 0:
		return owner
	case r.UID != 0:
		return fmt.Sprintf("user %d", r.UID)
	case r.Cgroup != "":
		return "cgroup " + printable(r.Cgroup)
	case r.Limit == limits.EphemeralPorts:
		return "any destination " + r.Transport
	case r.Netns != 0:
		return "namespace"
	}
	return "host"
}

// printable keeps a process from writing to the terminal by its name.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// maximum: fs.file-max may be the largest number there is, which systemd sets.
func maximum(n uint64) string {
	if n >= math.MaxInt64 {
		return "unlimited"
	}
	return fmt.Sprint(n)
}

func fullIn(r *limits.Reading) string {
	d, ok := r.TimeToExhaustion()
	switch {
	case !ok:
		return ""
	case d == 0:
		return "now"
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// advice explains each limit that is tight, once.
func advice(readings []limits.Reading) (lines []string) {
	told := map[limits.Limit]bool{}
	for _, r := range readings {
		if r.Utilisation() < tight || told[r.Limit] {
			continue
		}
		told[r.Limit] = true
		e := r.Limit.Entry()
		lines = append(lines, "", fmt.Sprintf("%s: %s.", e.Name, e.Meaning), fmt.Sprintf("  %s.", e.Advice))
	}
	return lines
}

func leftOut(omissions []limits.Omission, idle int) (lines []string) {
	for _, o := range omissions {
		where := ""
		if o.Netns != 0 {
			where = fmt.Sprintf(" of namespace %d", o.Netns)
		}
		lines = append(lines, fmt.Sprintf("%d more of %s%s are used less than those shown", o.Count, o.Limit, where))
	}
	if idle > 0 {
		lines = append(lines, fmt.Sprintf("%d more have nothing used: --json shows them", idle))
	}
	if len(lines) > 0 {
		lines = append([]string{""}, lines...)
	}
	return lines
}
