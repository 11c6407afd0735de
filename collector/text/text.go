// Package text writes facts as lines for a person: aligned columns, the same
// for every kind, colour only where a terminal shows it.
//
//	TIME         WHAT        PID  PROCESS  LOCAL           PEER           TOLD
//	12:00:01.123 client      812  curl     10.0.0.1:41022  10.0.0.2:443   1.2ms established 1.1ms fin_wait_1 …
package text

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"brink/collector"

	"golang.org/x/sys/unix"
)

// Sink implements collector.Sink.
type Sink struct {
	W      io.Writer
	Colour bool
}

const layout = "%-12s %-13s %7s %-15s %-21s %-21s %s\n"

// Header writes the columns' names.
func (s *Sink) Header() {
	fmt.Fprintf(s.W, layout, "TIME", "WHAT", "PID", "PROCESS", "LOCAL", "PEER", "TOLD")
}

// Accept implements collector.Sink.
func (s *Sink) Accept(f collector.Fact) {
	switch f := f.(type) {
	case *collector.Connection:
		s.connection(f)
	case *collector.LimitHit:
		s.line(red, f.Time, "limit hit", &f.Owner, f.Local, f.Peer, hit(f))
	case *collector.BindConflict:
		s.line(red, f.Time, "bind conflict", &f.Owner, f.Local, netip.AddrPort{}, conflict(f))
	case *collector.ConnectFailures:
		s.line(red, f.Time, "failed", &f.Owner, netip.AddrPort{}, netip.AddrPort{},
			fmt.Sprintf("%d more connects: %s %s", f.Count, unix.ErrnoName(f.Errno), f.Failure))
	case *collector.TimeWait:
		s.line(dim, f.Time, "time wait", &f.Owner, f.Local, f.Peer, f.Event.String()+" "+f.State.String())
	case *collector.StateChange:
		s.line(dim, f.Time, "state", &f.Owner, f.Local, f.Peer, f.Old.String()+" -> "+f.New.String())
	}
}

func (s *Sink) connection(c *collector.Connection) {
	what, colour := c.Role.String(), plain
	if what == "" {
		what = "older"
	}
	if c.Errno != 0 {
		colour = yellow
	}
	if c.Errno != 0 && !c.Established() {
		colour = red
	}
	s.line(colour, c.End, what, &c.Owner, c.Local, c.Peer, told(c))
}

func (s *Sink) line(c colour, at time.Time, what string, o *collector.Owner, local, peer netip.AddrPort, told string) {
	pid, name := "-", "-"
	if o.Known() {
		pid, name = fmt.Sprint(o.PID), o.Name()
	}
	line := fmt.Sprintf(layout, at.Format("15:04:05.000"), what, pid, printable(name), text(local), text(peer), told)
	if s.Colour && c != plain {
		line = string(c) + strings.TrimSuffix(line, "\n") + string(reset) + "\n"
	}
	io.WriteString(s.W, line)
}

// told is a connection's life in a line: how long, what came of it, and how
// long after its start each state began.
func told(c *collector.Connection) string {
	var b strings.Builder
	if !c.Start.IsZero() {
		fmt.Fprintf(&b, "%s ", round(c.Duration))
	}
	if c.Errno != 0 {
		fmt.Fprintf(&b, "%s ", unix.ErrnoName(c.Errno))
	}
	if c.Errno == unix.ETIMEDOUT { // which has three causes
		fmt.Fprintf(&b, "%s ", c.Failure)
	}
	if c.Established() {
		fmt.Fprintf(&b, "sent %d received %d ", c.BytesSent, c.BytesReceived)
	}
	if c.Retransmits > 0 {
		fmt.Fprintf(&b, "retransmitted %d ", c.Retransmits)
	}
	for _, at := range c.States() {
		if at.At == 0 {
			fmt.Fprintf(&b, "%s ", at.State)
			continue
		}
		fmt.Fprintf(&b, "%s+%s ", at.State, round(at.At))
	}
	return strings.TrimSuffix(b.String(), " ")
}

func hit(h *collector.LimitHit) string {
	s := h.Limit.String()
	if h.Errno != 0 {
		s += " " + unix.ErrnoName(h.Errno)
	}
	if h.Outcome != 0 {
		s += " " + h.Outcome.String()
	}
	if h.Used > 0 {
		s += fmt.Sprintf(" used %d", h.Used)
	}
	if h.Max > 0 {
		s += fmt.Sprintf(" max %d", h.Max)
	}
	if h.Count > 1 {
		s += fmt.Sprintf(" (%d times)", h.Count)
	}
	return s
}

func text(a netip.AddrPort) string {
	if !a.IsValid() {
		return "-"
	}
	return a.String()
}

// round keeps three digits or so: a duration to compare, not to compute with.
func round(d time.Duration) time.Duration {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d > unit {
			return d.Round(unit / 100)
		}
	}
	return d
}

// printable keeps a process from writing to the terminal by its name: neither
// escape codes (of C1, too: U+009B starts one by itself) nor changes of the
// writing's direction.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

type colour string

const (
	plain  colour = ""
	reset  colour = "\x1b[0m"
	red    colour = "\x1b[31m"
	yellow colour = "\x1b[33m"
	dim    colour = "\x1b[2m"
)
