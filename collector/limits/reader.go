package limits

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"brink/collector/sockdiag"
)

// Reader reads all limits again and again and knows from the time before how
// fast each is growing. Its zero value is ready; one goroutine may use it.
type Reader struct {
	// ByState has Snapshot.Connections counted, for which every socket is read.
	ByState bool

	before *sample
	owners owners
}

// How many readings of each kind are kept that there may be any number of: the
// rest is counted in Snapshot.LeftOut. Listeners are kept all.
const (
	mostDestinations = 10 // in each namespace; and as many addresses to bind
	mostProcesses    = 5
	mostUsers        = 5
	mostCgroups      = 5
)

// Snapshot is all limits at one moment.
type Snapshot struct {
	Time     time.Time
	Readings []Reading // worst first
	LeftOut  []Omission
	// Connections are the TCP sockets of each namespace, by state, if the Reader
	// counts them.
	Connections []Connections
	// Unread says what this user or this kernel keeps from being read: a noun
	// phrase each.
	Unread []string
}

// Omission is how many readings of a kind were left out, each less used than
// those of its kind that were not.
type Omission struct {
	Limit Limit
	Netns uint32 // 0 for limits that are not a namespace's
	Count int
}

// Read takes a sample. From the second on, readings whose subject was there
// before are Rated.
func (r *Reader) Read() Snapshot {
	t := taking{Snapshot: Snapshot{Time: time.Now()}, before: r.before, now: newSample()}
	t.now.at = t.Time
	v := visitAll(r.before)
	counted := make(chan []string, 1) // a million sockets take longer than all else
	go func() { counted <- v.count(r.ByState) }()
	processes := readProcesses(pids())
	t.add(descriptorReadings(processes), mostProcesses)
	t.add(userReadings(processes), mostUsers)
	t.add(cgroupReadings(), mostCgroups)
	t.add(hostReadings(), all)
	t.noteUnread(processes)
	owners := r.owners.find(listenersOf(v.namespaces), processes)
	t.Unread = slices.Concat(t.Unread, v.unread, <-counted)
	for _, n := range v.namespaces {
		if n.err == nil {
			t.addNamespace(n, owners)
		}
	}
	slices.SortFunc(t.Readings, worse)
	r.before = t.now
	return t.Snapshot
}

// taking is a snapshot in the making.
type taking struct {
	Snapshot
	before, now *sample // before is nil for the first
}

const all = int(^uint(0) >> 1)

// add rates the readings, and keeps the most that are worst.
func (t *taking) add(list []Reading, most int) {
	for i := range list {
		t.now.used[list[i].subject()] = list[i].Used
		t.before.rate(&list[i], t.Time)
	}
	if kept, beyond := cut(list, most); beyond > 0 {
		t.LeftOut = append(t.LeftOut, Omission{Limit: list[0].Limit, Count: beyond})
		list = kept
	}
	t.Readings = append(t.Readings, list...)
}

func (t *taking) addNamespace(n *namespace, owners map[uint32]sockdiag.Process) {
	t.now.ports[n.netns], t.now.bound[n.netns] = n.ports, n.boundOnly
	t.Connections = append(t.Connections, n.connections...)
	readings, beyond := n.readings(mostDestinations, owners)
	t.add(readings, all)
	if beyond > 0 {
		t.LeftOut = append(t.LeftOut, Omission{Limit: EphemeralPorts, Netns: n.netns, Count: beyond})
	}
}

// visits are the looks at all namespaces that have a process, the lowest number
// first.
type visits struct {
	namespaces []*namespace
	unread     []string
}

func visitAll(before *sample) (v visits) {
	paths := sockdiag.Namespaces()
	for _, netns := range slices.Sorted(maps.Keys(paths)) {
		n, err := look(netns, paths[netns], before.boundOnly(netns))
		switch {
		case err == nil:
			v.namespaces = append(v.namespaces, n)
		case !hasEnded(paths[netns], err):
			v.unread = append(v.unread, unread(netns, err))
		}
	}
	return v
}

// count counts the sockets of each namespace, and says which could not be read.
func (v *visits) count(byState bool) (failed []string) {
	for _, n := range v.namespaces {
		if n.err = n.count(byState); n.err != nil && !hasEnded(n.path, n.err) {
			failed = append(failed, unread(n.netns, n.err))
		}
	}
	return failed
}

// hasEnded: a namespace's last process ended meanwhile.
func hasEnded(path string, err error) bool {
	return errors.Is(err, fs.ErrNotExist) && !isOwnNetns(path)
}

func unread(netns uint32, err error) string {
	return fmt.Sprintf("network namespace %d (%v)", netns, err)
}

// noteUnread says what of the processes is hidden from this user. Whoever may
// not see a process's namespace may not read its descriptors' links either.
// Processes without any, such as the kernel's threads, hide nothing.
func (t *taking) noteUnread(processes []process) {
	hidden, uncounted := 0, 0
	for _, p := range processes {
		if p.descriptorsKnown && p.descriptors == 0 {
			continue
		}
		if _, err := netnsInode(fmt.Sprintf("/proc/%d/ns/net", p.pid)); errors.Is(err, fs.ErrPermission) {
			hidden++
		}
		if !p.descriptorsKnown {
			uncounted++
		}
	}
	if hidden > 0 {
		t.Unread = append(t.Unread, "the namespace and the listeners of "+processesInWords(hidden))
	}
	if uncounted > 0 {
		t.Unread = append(t.Unread, "the descriptors of "+processesInWords(uncounted))
	}
}

func processesInWords(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

func listenersOf(namespaces []*namespace) map[uint32]bool {
	inodes := map[uint32]bool{}
	for _, n := range namespaces {
		n.listeners.inodes(inodes)
	}
	return inodes
}

// cut keeps the n worst readings, and says how many there are beyond.
func cut(list []Reading, n int) (kept []Reading, beyond int) {
	if len(list) <= n {
		return list, 0
	}
	slices.SortFunc(list, worse)
	return list[:n], len(list) - n
}
