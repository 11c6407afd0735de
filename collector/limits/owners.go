package limits

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"brink/collector/sockdiag"
)

// owners remembers whose the listeners are, so that a sample looks for the new
// ones alone. Unlike sockdiag.Owners it does not read every descriptor of the
// host: servers open their listeners first, at low numbers, so those of all
// processes are looked at before the others, and of the others not too many.
type owners struct {
	known map[uint32]sockdiag.Process // PID 0: looked for, and not found
}

const (
	lowDescriptors = 64
	// mostLinks bounds the search above the low descriptors, which is for
	// listeners that somebody opened late or keeps hidden: a link costs 2 to 5 µs.
	mostLinks = 20_000
)

// find gives the owner of each of the sockets: the lowest pid that has it open
// among the low descriptors, else the first that is found to. A socket that
// nobody has open, or that this user may not see, has the zero Process.
func (o *owners) find(wanted map[uint32]bool, processes []process) map[uint32]sockdiag.Process {
	s := search{missing: map[uint32]bool{}, found: map[uint32]sockdiag.Process{}}
	for inode := range wanted {
		if p, ok := o.known[inode]; ok {
			s.found[inode] = p
		} else if inode != 0 {
			s.missing[inode] = true
		}
	}
	var more []*process
	for i := range processes {
		if p := &processes[i]; s.low(p) {
			more = append(more, p)
		}
	}
	for _, p := range more {
		s.high(p)
	}
	for inode := range s.missing {
		s.found[inode] = sockdiag.Process{}
	}
	o.known = s.found
	return s.found
}

// Owners finds whose the listening sockets with these inodes are, in a time that
// the number of connections on the host does not decide: where sockdiag.Owners
// reads the link of each descriptor.
func Owners(inodes map[uint32]bool) map[uint32]sockdiag.Process {
	return new(owners).find(inodes, readProcesses(pids()))
}

// search moves sockets from missing to found.
type search struct {
	missing map[uint32]bool
	found   map[uint32]sockdiag.Process
	links   int // read above the low descriptors
}

// low tries the numbers, and reports whether some descriptors have higher ones.
// To list the directory would have the kernel make an entry for each that it lists.
func (s *search) low(p *process) (more bool) {
	seen := uint64(0)
	for fd := 0; fd < lowDescriptors && len(s.missing) > 0; fd++ {
		if p.descriptorsKnown && seen == p.descriptors {
			return false
		}
		switch err := s.look(p, strconv.Itoa(fd)); {
		case err == nil:
			seen++
		case errors.Is(err, fs.ErrPermission):
			return false
		}
	}
	return p.descriptorsKnown && seen < p.descriptors
}

func (s *search) high(p *process) {
	if len(s.missing) == 0 || s.links+int(p.descriptors) > mostLinks {
		return
	}
	open, err := os.Open(fmt.Sprintf("/proc/%d/fd", p.pid))
	if err != nil {
		return // it ended meanwhile
	}
	defer open.Close()
	names, _ := open.Readdirnames(-1)
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd >= lowDescriptors {
			s.look(p, name)
			s.links++
		}
	}
}

func (s *search) look(p *process, fd string) error {
	inode, err := sockdiag.SocketAt("/proc/" + strconv.Itoa(int(p.pid)) + "/fd/" + fd)
	if inode != 0 && s.missing[inode] {
		delete(s.missing, inode)
		s.found[inode] = sockdiag.Process{PID: p.pid, Name: p.name}
	}
	return err
}
