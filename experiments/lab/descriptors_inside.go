package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A descriptorTable is /proc/self/fd, opened while there is room: a full table
// leaves no descriptor for opening it.
type descriptorTable struct {
	mu        sync.Mutex
	directory *os.File
	err       error
}

func (t *descriptorTable) open() { t.directory, t.err = os.Open("/proc/self/fd") }

// below counts the open descriptors with a number below limit. RLIMIT_NOFILE
// bounds the numbers: one above it, open since before the limit was set, takes
// no room.
func (t *descriptorTable) below(limit uint64) (n uint64, err error) {
	if t.err != nil {
		return 0, t.err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := t.directory.Seek(0, 0); err != nil {
		return 0, err
	}
	names, err := t.directory.Readdirnames(-1)
	for _, name := range names {
		if fd, err := strconv.ParseUint(name, 10, 64); err == nil && fd < limit {
			n++
		}
	}
	return n, err
}

// dropInherited closes what brink itself was started with and passed on
// unknowingly: it is marked by not being close-on-exec, as everything is that
// the Go runtime opens.
func dropInherited() {
	entries, _ := os.ReadDir("/proc/self/fd") // without /proc it is kept, which only costs room
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd <= controlFD {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
}

func (in *inside) descriptors(none) (Descriptors, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return Descriptors{}, fmt.Errorf("read RLIMIT_NOFILE: %w", err)
	}
	open, err := in.table.below(limit.Cur)
	if err != nil {
		return Descriptors{}, fmt.Errorf("count open descriptors: %w", err)
	}
	return Descriptors{Limit: limit.Cur, Open: open}, nil
}

// limitDescriptors sets RLIMIT_NOFILE, soft and hard; 0 means as high as allowed.
func limitDescriptors(want uint64) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		return fmt.Errorf("read RLIMIT_NOFILE: %w", err)
	}
	if want == 0 {
		return raiseDescriptors(now.Max)
	}
	if err := setDescriptors(want); err != nil {
		return fmt.Errorf("set RLIMIT_NOFILE to %d (hard limit %d; above it CAP_SYS_RESOURCE is needed, above fs.nr_open nothing helps): %w",
			want, now.Max, err)
	}
	return nil
}

// raiseDescriptors tries fs.nr_open, the most that any process can have, and
// is content with the hard limit.
func raiseDescriptors(hard uint64) error {
	if most, err := nrOpen(); err == nil && most > hard && setDescriptors(most) == nil {
		return nil
	}
	return setDescriptors(hard)
}

func setDescriptors(n uint64) error {
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n})
}

func nrOpen() (uint64, error) {
	text, err := os.ReadFile("/proc/sys/fs/nr_open")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}
