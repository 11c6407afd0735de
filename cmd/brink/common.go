package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"brink/collector"
	"brink/collector/limits"
	"brink/collector/otlp"
	"brink/collector/sockdiag"
	"brink/loader"

	"golang.org/x/term"
)

// colourful reports whether colour is welcome on f: a terminal, and no NO_COLOR
// (https://no-color.org).
func colourful(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// blocked turns "nothing could be attached" into a sentence that says what to do.
func blocked(t *loader.Tracer) error {
	if err := t.Blocked(); err != nil {
		return fmt.Errorf("the kernel cannot be traced: %s", t.Advice())
	}
	return nil
}

// modesInWords names the rungs in use, best first.
func modesInWords(t *loader.Tracer) string {
	var words []string
	for rung := loader.Fentry; rung <= loader.None; rung++ {
		n := 0
		for _, m := range t.Modes() {
			if m.Rung == rung {
				n++
			}
		}
		if n > 0 {
			words = append(words, fmt.Sprintf("%d hooks by %s", n, rung))
		}
	}
	return strings.Join(words, ", ")
}

// polled are the limits whose refusals no hook tells of here.
func polled(t *loader.Tracer) (list []collector.Limit) {
	for l := range limits.All() {
		if slices.ContainsFunc(l.Entry().Hooks, func(hook string) bool { return t.Mode(hook).Rung == loader.Poll }) {
			list = append(list, l)
		}
	}
	return list
}

// keepWatching polls, once a second and at the end, for refusals that no hook
// tells of.
func keepWatching(ctx context.Context, watch *collector.Watch, c *collector.Collector, netns []uint32) {
	look := context.WithoutCancel(ctx) // what was counted is told: the collector ends after this
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		namespaces := watched(netns)
		watch.Look(look, namespaces, c)
		watch.Forget(namespaces)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	watch.Look(look, watched(netns), c)
}

// watched are all namespaces, or those that a filter lets through.
func watched(netns []uint32) map[uint32]string {
	namespaces := sockdiag.Namespaces()
	maps.DeleteFunc(namespaces, func(inode uint32, _ string) bool {
		return len(netns) > 0 && !slices.Contains(netns, inode)
	})
	return namespaces
}

// polledWanted is the filter for what is polled, which names at most a listener
// and its owner; in which cgroup that is, a filter by cgroup does not find out.
func polledWanted(f loader.Filter) func(*collector.LimitHit) bool {
	return func(h *collector.LimitHit) bool {
		inside := func(p netip.Prefix) bool { return p.Contains(h.Local.Addr()) }
		return (f.PID == 0 || f.PID == h.Owner.PID) && (f.Port == 0 || f.Port == h.Local.Port()) &&
			f.Cgroup == "" && (len(f.CIDRs) == 0 || slices.ContainsFunc(f.CIDRs, inside))
	}
}

// newCollector makes a collector that infers what this kernel's hooks leave out.
func newCollector(t *loader.Tracer, known []collector.Known, sinks ...collector.Sink) *collector.Collector {
	c := collector.New(t, known, sinks...)
	if !t.TellsTurns() {
		c.InferTurns()
	}
	return c
}

// parseNetns takes an inode number, pid:N, or a path to a namespace file.
func parseNetns(s string) (uint32, error) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return uint32(n), nil
	}
	path := s
	if pid, ok := strings.CutPrefix(s, "pid:"); ok {
		path = "/proc/" + pid + "/ns/net"
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, usagef("--netns %s: give an inode number (lsns -t net), pid:N, or a path such as /run/netns/NAME", s)
	}
	return uint32(info.Sys().(*syscall.Stat_t).Ino), nil
}

// identify is the trace identity of a connection, as the spans have it.
func identify(c *collector.Connection) (traceID [16]byte, spanID [8]byte) {
	traceID, spanID, _ = otlp.Identity(c)
	return traceID, spanID
}
