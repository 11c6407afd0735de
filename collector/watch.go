package collector

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"brink/collector/limits"
	"brink/collector/sockdiag"
)

// Watch is the poll rung: where no hook tells of a refusal, the kernel's own
// counters do, namespace by namespace. Who was refused they cannot say, only how
// often; for a full accept queue sock_diag adds which listener is full.
type Watch struct {
	// Wanted, if set, says which refusals are told and counted.
	Wanted func(*LimitHit) bool

	limits []Limit
	seen   map[uint32]counters

	mu    sync.Mutex
	total map[Limit]uint64
}

// counters are those of one namespace that count refusals.
type counters map[counter]uint64

type counter string

// TcpExt's, and the sum over all CPUs of nf_conntrack's.
const (
	listenOverflows counter = "ListenOverflows"
	synCookies      counter = "TCPReqQFullDoCookies"
	synDrops        counter = "TCPReqQFullDrop"
	memoryAborts    counter = "TCPAbortOnMemory"
	conntrackDrops  counter = "drop"
)

// NewWatch watches these limits; others it knows nothing of. No namespace is
// known yet: the first look at one counts as its beginning.
func NewWatch(limits ...Limit) *Watch {
	return &Watch{limits: limits, seen: map[uint32]counters{}, total: map[Limit]uint64{}}
}

// Hits are all refusals that it has told of, per limit.
func (w *Watch) Hits() map[Limit]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.total)
}

// Look reads the counters of the given namespaces (inode number to a path such
// as /proc/PID/ns/net) and hands in a LimitHit for each that has grown.
func (w *Watch) Look(ctx context.Context, namespaces map[uint32]string, c *Collector) {
	for netns, path := range namespaces {
		now := w.read(path)
		before, known := w.seen[netns]
		w.seen[netns] = now
		for name, n := range now {
			if known && n > before[name] {
				w.tell(ctx, c, newHit(name, netns, path, n-before[name]))
			}
		}
	}
}

// Forget drops the namespaces that are not among these any more.
func (w *Watch) Forget(alive map[uint32]string) {
	for netns := range w.seen {
		if _, ok := alive[netns]; !ok {
			delete(w.seen, netns)
		}
	}
}

// read leaves out what is not there: the namespace went away between listing
// and reading, or tracks no connections.
func (w *Watch) read(path string) counters {
	now := counters{}
	proc := filepath.Join(filepath.Dir(filepath.Dir(path)), "net")
	for _, limit := range w.limits {
		switch limit {
		case limits.AcceptQueue:
			now.readTCP(proc, listenOverflows)
		case limits.SYNQueue:
			now.readTCP(proc, synCookies, synDrops)
		case limits.Orphans:
			now.readTCP(proc, memoryAborts)
		case limits.ConntrackTable, limits.NATPorts:
			now.readConntrack(proc)
		}
	}
	return now
}

func (c counters) readTCP(proc string, wanted ...counter) {
	content, err := os.ReadFile(filepath.Join(proc, "netstat"))
	if err != nil {
		return
	}
	all := parseNetstat(string(content))
	for _, name := range wanted {
		if n, ok := all[name]; ok {
			c[name] = n
		}
	}
}

// parseNetstat reads the two lines that begin with TcpExt, names above values.
func parseNetstat(content string) counters {
	var names []string
	all := counters{}
	for line := range strings.Lines(content) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || fields[0] != "TcpExt:":
		case names == nil:
			names = fields
		default:
			for i, value := range fields[1:] {
				if n, err := strconv.ParseUint(value, 10, 64); err == nil && i+1 < len(names) {
					all[counter(names[i+1])] = n
				}
			}
		}
	}
	return all
}

func (c counters) readConntrack(proc string) {
	content, err := os.ReadFile(filepath.Join(proc, "stat", "nf_conntrack"))
	if err != nil {
		return
	}
	if n, ok := parseConntrackStat(string(content), string(conntrackDrops)); ok {
		c[conntrackDrops] = n
	}
}

// parseConntrackStat sums a column over its lines, one a CPU, in hexadecimal.
func parseConntrackStat(content, column string) (sum uint64, ok bool) {
	at := -1
	for line := range strings.Lines(content) {
		fields := strings.Fields(line)
		if at < 0 {
			for i, name := range fields {
				if name == column {
					at = i
				}
			}
			if at < 0 {
				return 0, false
			}
			continue
		}
		if at < len(fields) {
			n, _ := strconv.ParseUint(fields[at], 16, 64)
			sum, ok = sum+n, true
		}
	}
	return sum, ok
}

func (w *Watch) tell(ctx context.Context, c *Collector, h *LimitHit) {
	if w.Wanted != nil && !w.Wanted(h) {
		return
	}
	w.mu.Lock()
	w.total[h.Limit] += h.Count
	w.mu.Unlock()
	c.Inject(ctx, h)
}

func newHit(name counter, netns uint32, path string, count uint64) *LimitHit {
	h := &LimitHit{Time: time.Now(), Count: count, Netns: netns}
	switch name {
	case listenOverflows:
		h.Limit, h.Hook, h.Role, h.Outcome = limits.AcceptQueue, HookAcceptQueue, RoleServer, Dropped
		nameFullListener(h, path)
	case synCookies:
		h.Limit, h.Hook, h.Role, h.Outcome = limits.SYNQueue, HookSYNQueue, RoleServer, SYNCookie
	case synDrops:
		h.Limit, h.Hook, h.Role, h.Outcome = limits.SYNQueue, HookSYNQueue, RoleServer, Dropped
	case memoryAborts:
		h.Limit, h.Hook, h.Outcome = limits.Orphans, HookOrphans, WasReset
	case conntrackDrops:
		h.Limit, h.Hook, h.Outcome = limits.NATPorts, HookNATPorts, Dropped
		if used, most := limits.Measure(limits.ConntrackTable, path); most > 0 && used >= most {
			h.Limit, h.Hook, h.Used, h.Max = limits.ConntrackTable, HookConntrackTable, used, most
		}
	}
	return h
}

// nameFullListener says which listener it was, if a single one is full.
func nameFullListener(h *LimitHit, path string) {
	full := fullListeners(path)
	if len(full) != 1 {
		return // none is full any more, or which of them it was is not known
	}
	s := full[0]
	h.Local, h.Used, h.Max = s.Local, uint64(s.ReceiveQueue), uint64(s.SendQueue)+1
	owner := sockdiag.Owners(map[uint32]bool{s.Inode: true})[s.Inode]
	h.Owner = knownOf(s, owner, CgroupOf(owner.PID), h.Netns).Owner
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
