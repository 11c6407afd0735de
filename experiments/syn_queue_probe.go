package experiments

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"

	"brink/experiments/lab"
)

// synQueueExtra is by how much the running kernel's request queue is longer than
// the backlog, 0 or 1. inet_csk_reqsk_queue_is_full compared with >= until
// 3479c7549fb1, which stable series may have as well: so the kernel is asked,
// once, in a lab of its own that nobody watches.
func (b *Bench) synQueueExtra(ctx context.Context) (int, error) {
	probedQueue.Lock()
	defer probedQueue.Unlock()
	if probedQueue.known {
		return probedQueue.extra, nil
	}
	l, err := lab.New(ctx, lab.Options{Beside: b.Lab})
	if err != nil {
		return 0, err
	}
	held, err := fillProbe(ctx, l)
	if err = errors.Join(err, l.Close()); err != nil {
		return 0, fmt.Errorf("ask the kernel how it compares a SYN queue with its backlog: %w", err)
	}
	extra := held - probeBacklog
	if extra != 0 && extra != 1 {
		return 0, fmt.Errorf("this kernel holds %d handshakes with a backlog of %d: neither as many nor one more", held, probeBacklog)
	}
	probedQueue.known, probedQueue.extra = true, extra
	return extra, nil
}

// probedQueue is true of this kernel until the next boot.
var probedQueue struct {
	sync.Mutex
	known bool
	extra int
}

const probeBacklog = 3

// fillProbe is how many handshakes the queue took in: all SYNs but those that the
// kernel counts as dropped. No answer is waited for.
func fillProbe(ctx context.Context, l *lab.Lab) (int, error) {
	for name, value := range map[string]int{"tcp_syncookies": 0, "tcp_max_syn_backlog": 16 * probeBacklog} {
		if err := l.SetSysctl(ctx, "net.ipv4."+name, strconv.Itoa(value)); err != nil {
			return 0, err
		}
	}
	w, err := l.Worker(ctx, lab.WorkerOptions{})
	if err != nil {
		return 0, err
	}
	at := IPv4.at(1, firstPort)
	if _, err := w.Listen(ctx, lab.ListenOptions{Addr: at, Backlog: probeBacklog, DeferAccept: deferral}); err != nil {
		return 0, err
	}
	c, err := w.Connect(ctx, lab.ConnectOptions{
		To: []netip.AddrPort{at}, Count: 2 * probeBacklog, Concurrent: true, KeepGoing: true, Timeout: patience,
	})
	if err != nil {
		return 0, err
	}
	counters, err := l.Counters(ctx)
	dropped := int(counters["TcpExt.TCPReqQFullDrop"])
	return c.Attempts + int(counters["TcpExt.TCPSynRetrans"]) - dropped, err
}
