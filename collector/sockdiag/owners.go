package sockdiag

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Process is who has a socket open.
type Process struct {
	PID  uint32
	Name string // comm
	FD   int    // its descriptor of the socket, one of them
}

// Owners finds, by a walk over /proc/*/fd, which process has each of the given
// socket inodes open. A socket shared by several processes is given to the
// lowest pid. Inodes that nobody has open, or that this user may not see, are
// absent.
func Owners(inodes map[uint32]bool) map[uint32]Process {
	var once Finder
	return once.Owners(inodes)
}

// A Finder is Owners for many questions: it keeps what the last walk found, and
// walks again only where that is no longer true. A process that refuses or is
// refused a hundred times a second would otherwise cost a core.
type Finder struct {
	known map[uint32]Process // by inode
}

// maxKnown bounds what a Finder keeps.
const maxKnown = 1 << 16

// Owners is as the function.
func (f *Finder) Owners(inodes map[uint32]bool) map[uint32]Process {
	owners := make(map[uint32]Process, len(inodes))
	for inode := range inodes {
		p, ok := f.known[inode]
		if !ok || !p.has(inode) {
			return f.walk(inodes)
		}
		owners[inode] = p
	}
	return owners
}

// has reports whether the process still has the socket there.
func (p Process) has(inode uint32) bool {
	got, ok := SocketInode(fmt.Sprintf("/proc/%d/fd/%d", p.PID, p.FD))
	return ok && got == inode
}

func (f *Finder) walk(inodes map[uint32]bool) map[uint32]Process {
	f.known = map[uint32]Process{}
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.ParseUint(name, 10, 32); err == nil {
			f.add("/proc/"+name+"/fd", uint32(pid), inodes)
		}
	}
	owners := make(map[uint32]Process, len(inodes))
	for inode := range inodes {
		if p, ok := f.known[inode]; ok {
			owners[inode] = p
		}
	}
	return owners
}

func (f *Finder) add(dir string, pid uint32, wanted map[uint32]bool) {
	fds, err := os.Open(dir)
	if err != nil {
		return // it ended meanwhile, or is not ours to see
	}
	defer fds.Close()
	names, _ := fds.Readdirnames(-1)
	name := ""
	for _, n := range names {
		inode, ok := SocketInode(dir + "/" + n)
		if !ok || len(f.known) >= maxKnown && !wanted[inode] {
			continue
		}
		if known, ok := f.known[inode]; !ok || pid < known.PID {
			if name == "" {
				name = comm(pid)
			}
			fd, _ := strconv.Atoi(n)
			f.known[inode] = Process{PID: pid, Name: name, FD: fd}
		}
	}
}

// SocketInode reads a link of the form socket:[123], as /proc/PID/fd has them;
// false for what is no socket, or gone.
func SocketInode(path string) (uint32, bool) {
	inode, err := SocketAt(path)
	return inode, err == nil && inode != 0
}

// SocketAt is SocketInode where it matters what there is: the inode is 0 for what
// is no socket, and the error that of the link.
func SocketAt(path string) (uint32, error) {
	var b [64]byte
	n, err := unix.Readlink(path, b[:])
	if err != nil {
		return 0, &os.PathError{Op: "readlink", Path: path, Err: err}
	}
	number, ok := bytes.CutPrefix(b[:n], []byte("socket:["))
	if !ok {
		return 0, nil
	}
	inode, err := strconv.ParseUint(string(bytes.TrimSuffix(number, []byte("]"))), 10, 32)
	if err != nil {
		return 0, nil
	}
	return uint32(inode), nil
}

func comm(pid uint32) string {
	name, _ := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/comm")
	return strings.TrimSuffix(string(name), "\n")
}
