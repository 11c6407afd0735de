package diagnosis

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Status is who a process is.
type Status struct {
	PID, Parent uint32
	Name        string
	UID         uint32 // real: RLIMIT_NPROC counts by it
	Threads     uint64
	// Task is the number that was asked for, where that is a thread's.
	Task uint32
	// MaxTasks is the soft RLIMIT_NPROC; 0 is none.
	MaxTasks uint64
}

// ErrGone is that no process has the number, or only a zombie.
var ErrGone = errors.New("there is no process")

// ReadStatus finds the process with a number, or to which the thread with the
// number belongs.
func ReadStatus(number uint32) (Status, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", number))
	if isAbsent(err) {
		return Status{}, fmt.Errorf("%w %d: it has ended, or never was", ErrGone, number)
	}
	if err != nil {
		return Status{}, err
	}
	s, zombie, err := parseStatus(string(content))
	if err != nil {
		return s, fmt.Errorf("/proc/%d/status: %w", number, err)
	}
	if zombie {
		return s, fmt.Errorf("%w %d any more: %s is a zombie, which has ended and holds neither sockets nor descriptors; its parent, %d, has not yet waited for it",
			ErrGone, s.PID, s.Name, s.Parent)
	}
	if s.PID != number {
		s.Task = number
	}
	bounds, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.PID))
	if err == nil {
		s.MaxTasks = parseMaxTasks(string(bounds))
	}
	return s, nil
}

func parseStatus(content string) (s Status, zombie bool, err error) {
	missing := 5
	for line := range strings.Lines(content) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		n, _ := strconv.ParseUint(fields[0], 10, 32)
		switch key {
		case "Name":
			s.Name = strings.TrimSpace(value)
		case "State":
			zombie = fields[0] == "Z" || fields[0] == "X"
		case "Tgid":
			s.PID = uint32(n)
		case "PPid":
			s.Parent = uint32(n)
		case "Uid":
			s.UID = uint32(n)
		case "Threads":
			s.Threads = n
			continue // a zombie may have none
		default:
			continue
		}
		missing--
	}
	if missing > 0 {
		return s, zombie, errors.New("lines are missing")
	}
	return s, zombie, nil
}

// parseMaxTasks reads /proc/PID/limits, which anybody may.
func parseMaxTasks(content string) uint64 {
	for line := range strings.Lines(content) {
		if rest, ok := strings.CutPrefix(line, "Max processes"); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				n, _ := strconv.ParseUint(fields[0], 10, 64) // "unlimited" is 0
				return n
			}
		}
	}
	return 0
}

// Share is how many descriptors are of a kind.
type Share struct {
	Kind  string
	Count int
}

// mostLinks bounds how many descriptors are looked at: a link costs some 5 µs.
const mostLinks = 100_000

// readKinds sorts the descriptors by what they are, and finds the sockets.
func (p *Process) readKinds() (sockets map[uint32]bool, ok bool) {
	sockets = map[uint32]bool{}
	dir := fmt.Sprintf("/proc/%d/fd", p.PID)
	open, err := os.Open(dir)
	if err != nil {
		p.Unread = append(p.Unread, fmt.Sprintf("What the descriptors of the process are could not be read: %s.", sayWhy(err)))
		return nil, false
	}
	defer open.Close()
	names, _ := open.Readdirnames(mostLinks)
	counts := map[string]int{}
	for _, name := range names {
		target, err := os.Readlink(filepath.Join(dir, name))
		if err != nil {
			continue // closed meanwhile
		}
		kind, inode := classify(target)
		counts[kind]++
		p.Looked++
		if inode != 0 {
			sockets[inode] = true
		}
	}
	p.Kinds = shares(counts)
	return sockets, true
}

func shares(counts map[string]int) (list []Share) {
	for kind, n := range counts {
		list = append(list, Share{kind, n})
	}
	slices.SortFunc(list, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind))
	})
	return list
}

// classify tells what a descriptor's link leads to, as the kernel names it.
func classify(target string) (kind string, inode uint32) {
	prefix, rest, _ := strings.Cut(target, ":")
	switch {
	case prefix == "socket":
		n, _ := strconv.ParseUint(strings.Trim(rest, "[]"), 10, 32)
		return "socket", uint32(n)
	case prefix == "pipe":
		return "pipe", 0
	case target == "anon_inode:[eventpoll]":
		return "epoll", 0
	case prefix == "anon_inode":
		return strings.Trim(rest, "[]"), 0
	case strings.HasPrefix(target, "/memfd:"):
		return "memfd", 0
	case strings.HasPrefix(target, "/dev/"):
		return "device", 0
	}
	return "file", 0
}
