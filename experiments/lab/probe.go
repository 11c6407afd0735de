package lab

import (
	"context"
	"syscall"
	"time"
)

type probing struct {
	Sockets Sockets
	Timeout time.Duration
}

var probe = define("probe", (*inside).probe)

// Probe sends one byte on each of the connections and counts what became of
// them: 0 is acknowledged by the far end's kernel, ECONNRESET is reset,
// EINPROGRESS is neither within the timeout (10 s when 0, for all of them).
func (w *Worker) Probe(ctx context.Context, s Sockets, timeout time.Duration) (map[syscall.Errno]int, error) {
	return probe.call(ctx, w.member.control, probing{Sockets: s, Timeout: timeout})
}
