package otlp

import (
	"fmt"
	"strconv"

	"brink/collector"

	"golang.org/x/sys/unix"
)

// isRefusal says which connections are exempt from sampling: those that some
// program on this host was refused, or whose network died. There are three.
//
//   - The connect failed: refused, reset, timed out, unreachable, no port. An
//     attempt that the program gave up counts if a SYN had gone unanswered by
//     then; without that it is the slower one of two that were raced (RFC 8305).
//   - A connection that stood was given up by the kernel, after retransmissions
//     or probes, or by ICMP's word. That takes minutes each, so they are few.
//   - The fate of a connection older than brink was one of these.
//
// Not among them is a reset of a connection that stood: it is how load
// balancers, clients in a hurry and SO_LINGER end everyday connections. Nor is a
// server's end that never stood: no program had it yet, scanners and SYN floods
// make any number of them, and what a full queue refuses is told as a limit hit.
// Both are errors in a span that is sampled, and metrics count them all.
func isRefusal(c *collector.Connection) bool {
	stood := c.Preexisting || c.Established()
	switch {
	case c.Role == collector.RoleServer && !stood:
		return false
	case c.Errno == 0:
		return c.Abandoned && c.Retransmits > 0
	}
	return !stood || !isReset(c)
}

func isReset(c *collector.Connection) bool {
	return c.Failure == collector.Reset || c.Errno == unix.ECONNRESET || c.Errno == unix.EPIPE
}

// Bound is what Mixed>>1 has to be below for a connection to be in a sample
// of that ratio, from 0 to 1: what TraceIDRatioBased compares with.
func Bound(ratio float64) uint64 { return uint64(ratio * (1 << 63)) }

// inSample reports whether a trace ID with these last eight bytes is in a sample.
func inSample(key, bound uint64) bool { return key>>1 < bound }

// readRatio is the share of connections that OTEL_TRACES_SAMPLER and
// OTEL_TRACES_SAMPLER_ARG ask for, or otherwise, where they do not. The
// parentbased ones are the same as those without: a parent here is derived, not
// received, and has no decision to follow.
func readRatio(name, argument string, otherwise float64) (float64, error) {
	switch name {
	case "":
		return otherwise, nil
	case "always_on", "parentbased_always_on":
		return 1, nil
	case "always_off", "parentbased_always_off":
		return 0, nil
	case "traceidratio", "parentbased_traceidratio":
		return parseRatio(argument)
	}
	return 0, fmt.Errorf("OTEL_TRACES_SAMPLER is %q: use always_on, always_off or traceidratio", name)
}

func parseRatio(s string) (float64, error) {
	if s == "" {
		return 1, nil // as the specification says
	}
	ratio, err := strconv.ParseFloat(s, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) { // NaN is neither
		return 0, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG is %q: use a ratio from 0 to 1", s)
	}
	return ratio, nil
}
