package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"brink/collector/limits"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// Between two samples, where --interval does not say: once is soon enough to be
// waited for, in watching it is slow enough to be read.
const (
	onceInterval  = 500 * time.Millisecond
	watchInterval = 2 * time.Second
)

func limitsCommand() *cli.Command {
	return &cli.Command{
		Name:  "limits",
		Usage: "show how close each limit is: used, maximum, when it is full, and the knob; worst first",
		Description: "Reads the limits of this host, and of each network namespace, listener and process that\n" +
			"uses most of its own: from /proc, sysctls and sock_diag, with nothing attached to the\n" +
			"kernel. Two samples give the rate, and with it the time until a limit is met. What is at\n" +
			"70 % or above is explained below the table.\n\n" +
			"   brink limits                    now\n" +
			"   brink limits --watch            again every 2 s, until ctrl-C\n" +
			"   brink limits --interval 10s     with a rate from 10 s\n" +
			"   brink limits --interval 0       one sample, at once, and no rate\n" +
			"   brink limits --json | jq 'select(.\"brink.limit.utilization\" > 0.7)'",
		Flags: []cli.Flag{
			jsonFlag(),
			&cli.BoolFlag{Name: "watch", Usage: "again and again, until ctrl-C"},
			&cli.DurationFlag{Name: "interval", Usage: "`TIME` from one sample to the next", DefaultText: "500ms, 2s with --watch"},
		},
		Action: showLimits,
	}
}

func showLimits(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("limits takes no argument %q", c.Args().First())
	}
	interval := onceInterval
	if c.Bool("watch") {
		interval = watchInterval
	}
	if c.IsSet("interval") {
		interval = c.Duration("interval")
	}
	if interval < 0 || c.Bool("watch") && interval == 0 {
		return usagef("--interval %s: give a time above 0, such as 2s; 0 is one sample, without --watch", interval)
	}
	if c.Bool("watch") {
		return watchLimits(c.Context, interval, limitsOutput(c))
	}
	return limitsOnce(c.Context, interval, limitsOutput(c))
}

// limitsOutput is how snapshots are shown: as JSON Lines, as a table, or as a
// table that replaces the one before.
func limitsOutput(c *cli.Context) func(limits.Snapshot) error {
	colour := colourful(os.Stdout)
	switch {
	case c.Bool("json"):
		return func(s limits.Snapshot) error { return limitsJSON(os.Stdout, s) }
	case c.Bool("watch") && term.IsTerminal(int(os.Stdout.Fd())):
		return func(s limits.Snapshot) error { return redraw(os.Stdout, s, colour) }
	case c.Bool("watch"):
		return func(s limits.Snapshot) error {
			var b bytes.Buffer
			limitsText(&b, s, colour)
			b.WriteByte('\n')
			_, err := os.Stdout.Write(b.Bytes())
			return err
		}
	}
	return func(s limits.Snapshot) error {
		var b bytes.Buffer
		limitsText(&b, s, colour)
		_, err := os.Stdout.Write(b.Bytes())
		return err
	}
}

func limitsOnce(ctx context.Context, interval time.Duration, show func(limits.Snapshot) error) error {
	var reader limits.Reader
	snapshot := reader.Read()
	if interval > 0 {
		if !pauseSince(ctx, snapshot.Time, interval) {
			return nil // ctrl-C
		}
		snapshot = reader.Read()
	}
	tellUnread(os.Stderr, snapshot)
	return show(snapshot)
}

func watchLimits(ctx context.Context, interval time.Duration, show func(limits.Snapshot) error) error {
	var reader limits.Reader
	snapshot := reader.Read()
	tellUnread(os.Stderr, snapshot)
	for {
		if err := show(snapshot); err != nil {
			return err
		}
		if !pauseSince(ctx, snapshot.Time, interval) {
			return nil
		}
		snapshot = reader.Read()
	}
}

// pauseSince is a pause until so long after a sample was begun: beside a million
// sockets it takes a good part of that.
func pauseSince(ctx context.Context, begun time.Time, d time.Duration) bool {
	return pause(ctx, d-time.Since(begun))
}

// pause reports whether the time went by without ctrl-C.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// tellUnread says in one sentence what is missing, if anything is.
func tellUnread(w io.Writer, s limits.Snapshot) {
	if len(s.Unread) == 0 {
		return
	}
	remedy := ""
	if os.Geteuid() != 0 {
		remedy = ": root may (try sudo)"
	}
	fmt.Fprintf(w, "brink: could not read %s%s\n", strings.Join(s.Unread, ", "), remedy)
}

// Terminal codes: to the upper left corner; clear to the line's end, and to the
// screen's.
const (
	home      = "\x1b[H"
	clearLine = "\x1b[K\n"
	clearRest = "\x1b[J"
)

// redraw puts the table over the one before, as far as the screen goes. The
// whole screen is written at once and only the rest of it cleared, so that it
// does not flicker.
func redraw(f *os.File, s limits.Snapshot, colour bool) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s   ctrl-C ends\n\n", s.Time.Format("15:04:05"))
	limitsText(&b, s, colour)
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if _, height, err := term.GetSize(int(f.Fd())); err == nil && height > 1 && len(lines) >= height {
		lines = append(lines[:height-2], "… more than the screen holds")
	}
	_, err := f.WriteString(home + strings.Join(lines, clearLine) + clearLine + clearRest)
	return err
}
