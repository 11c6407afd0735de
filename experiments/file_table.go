package experiments

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"brink/collector/limits"
	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

func init() {
	register(Experiment{
		Name: "file-table", Group: Resources, Takes: time.Second,
		Question: "how many files and sockets can the whole host have open?",
		Expect:   "fs.file-max minus those allocated; then ENFILE, for everyone but root",
		Limit:    limits.FileTable,
		Hooks:    []string{"state", "file_table"},
		Legs: func(s Size) []Leg {
			if s.HostWide {
				return []Leg{fileTableFull(), fileTableForRoot()}
			}
			return []Leg{fileTableFull()}
		},
	})
}

const fileMax = hostSetting("fs.file-max")

// fileTableSlack: nr_files is a percpu_counter, which /proc/sys/fs/file-nr shows
// and alloc_empty_file reads without adding up what each CPU has not yet folded
// in, up to 32 or twice the number of CPUs (percpu_counter_batch). It adds them
// up only once the count without them has reached the maximum.
func fileTableSlack() int {
	n := runtime.NumCPU()
	return n * max(32, 2*n)
}

// fileTableRoom is how many files are to be left: so many that the slack, of the
// reading and of the refusal, is within fileTableWithin of them.
func fileTableRoom() int { return int(2 * float64(fileTableSlack()) / fileTableWithin) }

const fileTableWithin = 0.05

// fileTableFull leaves some room, and has a plain user take it.
func fileTableFull() Leg {
	return Leg{
		Name:    "a plain user",
		Prepare: prepareFileTable,
		Predict: func(_ context.Context, b *Bench) (Prediction, error) {
			return b.predictFileTable(syscall.ENFILE)
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return b.pushFileTable(ctx, takingFiles{As: nobody})
		},
	}
}

// fileTableForRoot is the control: CAP_SYS_ADMIN passes over the limit, by as
// many files again.
func fileTableForRoot() Leg {
	return Leg{
		Name:    "root passes over it",
		Prepare: prepareFileTable,
		Predict: func(_ context.Context, b *Bench) (Prediction, error) {
			p, err := b.predictFileTable(0)
			p.Value, p.Formula, p.Within = 2*p.Value, "2 × ("+p.Formula+")", 0
			return p, err
		},
		Push: func(ctx context.Context, b *Bench) (Measurement, error) {
			return b.pushFileTable(ctx, takingFiles{Count: 2 * b.Notes["room"]})
		},
	}
}

func prepareFileTable(ctx context.Context, b *Bench) (err error) {
	b.Client, err = b.worker(ctx, lab.WorkerOptions{})
	return err
}

// predictFileTable: on a host as it is; on a machine made for it with what
// pushFileTable is going to set.
func (b *Bench) predictFileTable(end syscall.Errno) (Prediction, error) {
	allocated, most := limits.Measure(limits.FileTable, "")
	if most == 0 {
		return Prediction{}, errors.New("read /proc/sys/fs/file-nr: it does not say how many files there may be")
	}
	room := int(most - min(allocated, most))
	if b.Size.HostWide {
		room = min(room, fileTableRoom())
	}
	b.note("allocated", int(allocated))
	b.note("room", room)
	return Prediction{
		Value: room, Unit: "files", Formula: "fs.file-max - allocated", Errno: end, Within: fileTableWithin,
		Inputs: []Input{{"fs.file-max", int(allocated) + room}, {"allocated", allocated}},
	}, nil
}

func (b *Bench) pushFileTable(ctx context.Context, t takingFiles) (m Measurement, err error) {
	back, err := fileMax.set(b, strconv.Itoa(b.Notes["allocated"]+b.Notes["room"]))
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, back()) }()
	took, err := takeFiles.Run(ctx, b.Client, t)
	m = Measurement{Value: took.Files, Errno: took.Errno}
	if took.Errno != 0 {
		m.Refusals = 1
	}
	return m, err
}

// takingFiles: so many sockets, or as many as there are; by this user.
type takingFiles struct {
	Count int // 0: until the kernel refuses
	As    int // 0: as it is
}

type tookFiles struct {
	Files int
	Errno syscall.Errno
}

// nobody is the user whom root's exemptions are not for.
const nobody = 65534

var takeFiles = lab.DefineProgram("take files", func(t takingFiles) (took tookFiles, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with what it may
		took, err = t.take()
	}()
	<-done
	return took, err
})

func (t takingFiles) take() (took tookFiles, err error) {
	if t.As != 0 {
		// the raw system call changes this thread alone
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(t.As), uintptr(t.As), uintptr(t.As)); errno != 0 {
			return took, fmt.Errorf("become user %d: %w", t.As, errno)
		}
	}
	var files []int
	defer func() {
		for _, fd := range files {
			unix.Close(fd)
		}
	}()
	for t.Count == 0 || len(files) < t.Count {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			took.Errno, _ = err.(syscall.Errno)
			break
		}
		files = append(files, fd)
	}
	took.Files = len(files)
	return took, nil
}
