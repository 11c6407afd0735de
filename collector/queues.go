package collector

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"brink/collector/limits"
	"brink/collector/sockdiag"
)

// QueueWatch is the poll rung of full accept queues: it reads each namespace's
// TcpExt ListenOverflows, and sock_diag for the listener that is full. Which
// clients were refused it cannot say, only how many.
type QueueWatch struct {
	seen map[uint32]uint64
}

// NewQueueWatch starts with no namespace known: the first look at one counts
// as its beginning.
func NewQueueWatch() *QueueWatch { return &QueueWatch{seen: map[uint32]uint64{}} }

// Look reads the counters of the given namespaces (inode number to a path such
// as /proc/PID/ns/net) and hands in a LimitHit for each that has grown.
func (w *QueueWatch) Look(ctx context.Context, namespaces map[uint32]string, c *Collector) {
	for netns, path := range namespaces {
		overflows, err := listenOverflows(path)
		if err != nil {
			continue // it went away between listing and reading
		}
		before, known := w.seen[netns]
		w.seen[netns] = overflows
		if known && overflows > before {
			c.Inject(ctx, fullQueue(netns, path, overflows-before))
		}
	}
	for netns := range w.seen {
		if _, alive := namespaces[netns]; !alive {
			delete(w.seen, netns)
		}
	}
}

func fullQueue(netns uint32, path string, count uint64) *LimitHit {
	hit := &LimitHit{
		Time: time.Now(), Limit: limits.AcceptQueue, Count: count, Netns: netns,
		Role: RoleServer, Hook: HookAcceptQueue,
	}
	full := fullListeners(path)
	if len(full) != 1 {
		return hit // none is full any more, or which of them it was is not known
	}
	s := full[0]
	hit.Local, hit.Used, hit.Max = s.Local, uint64(s.ReceiveQueue), uint64(s.SendQueue)+1
	owner := sockdiag.Owners(map[uint32]bool{s.Inode: true})[s.Inode]
	hit.Owner = knownOf(s, owner, netns).Owner
	return hit
}

// fullListeners are those with more than their backlog waiting: sk_ack_backlog
// and sk_max_ack_backlog are a listener's two queue sizes in inet_diag.
func fullListeners(path string) (full []sockdiag.Socket) {
	listeners, err := sockdiag.Dump(sockdiag.Query{NetnsPath: path, States: 1 << Listen})
	if err != nil {
		return nil
	}
	for _, s := range listeners {
		if s.ReceiveQueue > s.SendQueue {
			full = append(full, s)
		}
	}
	return full
}

// listenOverflows reads TcpExt's ListenOverflows of the namespace at
// /proc/PID/ns/net, by way of /proc/PID/net/netstat.
func listenOverflows(path string) (uint64, error) {
	file := filepath.Join(filepath.Dir(filepath.Dir(path)), "net", "netstat")
	content, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "TcpExt:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "ListenOverflows" && i < len(fields) {
				return strconv.ParseUint(fields[i], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("%s has no ListenOverflows", file)
}
