package limits

import (
	"fmt"
	"os"
	"path/filepath"

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
	// listeners that somebody opened late or keeps hidden: a link costs some 5 µs.
	mostLinks = 50_000
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
	for i := range processes {
		s.low(&processes[i])
	}
	for i := range processes {
		s.high(&processes[i])
	}
	for inode := range s.missing {
		s.found[inode] = sockdiag.Process{}
	}
	o.known = s.found
	return s.found
}

// search moves sockets from missing to found.
type search struct {
	missing map[uint32]bool
	found   map[uint32]sockdiag.Process
	links   int // read above the low descriptors
}

// low reads what /proc/PID/fd lists first: it lists in ascending order.
func (s *search) low(p *process) {
	if p.descriptors > 0 || !p.descriptorsKnown {
		s.read(p, func(d *os.File) []string {
			names, _ := d.Readdirnames(lowDescriptors)
			return names
		})
	}
}

func (s *search) high(p *process) {
	if p.descriptors <= lowDescriptors || s.links+int(p.descriptors) > mostLinks {
		return
	}
	s.read(p, func(d *os.File) []string {
		names, _ := d.Readdirnames(-1)
		names = names[min(len(names), lowDescriptors):]
		s.links += len(names)
		return names
	})
}

func (s *search) read(p *process, names func(*os.File) []string) {
	if len(s.missing) == 0 {
		return
	}
	directory := fmt.Sprintf("/proc/%d/fd", p.pid)
	open, err := os.Open(directory)
	if err != nil {
		return // it ended meanwhile, or is not ours to see
	}
	defer open.Close()
	for _, name := range names(open) {
		inode, ok := sockdiag.SocketInode(filepath.Join(directory, name))
		if ok && s.missing[inode] {
			delete(s.missing, inode)
			s.found[inode] = sockdiag.Process{PID: p.pid, Name: p.name}
		}
	}
}
