package experiments

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

// The programs of a model's server, in the order in which they are asked.
var (
	startModel    = lab.DefineProgram("start a connection model", startModelInside)
	readTaskLimit = lab.DefineProgram("read the limit of tasks", func(struct{}) (taskLimit, error) { return taskLimitInside() })
	acceptModel   = lab.DefineProgram("accept by a connection model", acceptModelInside)
	lookAtModel   = lab.DefineProgram("look at a connection model", lookAtModelInside)
	countSwitches = lab.DefineProgram("count a connection model's switches", countSwitchesInside)
	closeModel    = lab.DefineProgram("close a connection model", closeModelInside)
)

// The models.
const (
	threadModel    = "thread per connection"
	goroutineModel = "goroutine per connection"
	loopModel      = "event loop"
)

var models = map[string]func(netip.AddrPort) (connectionModel, error){
	threadModel: newThreads, goroutineModel: newGoroutines, loopModel: newLoop,
}

// connectionModel is how a server holds its connections. All of it runs inside a
// worker.
type connectionModel interface {
	// accept takes the next connection, or finds none in time.
	accept() error
	// serve has the connection that was taken last served. Errors of both carry
	// the kernel's errno where it refused.
	serve() error
	// close resets the connections that were taken. The listener stays.
	close() error
	// stop closes the listener.
	stop() error
}

// modelInside is the one that this worker runs.
var modelInside connectionModel

type modelOptions struct {
	Model string
	At    netip.AddrPort
	// Tasks is RLIMIT_NPROC, for a user who has no other process. 0: none of both.
	Tasks uint64
}

// modelStarted: Unable says why the worker cannot become a user of its own.
type modelStarted struct{ Unable string }

func startModelInside(o modelOptions) (s modelStarted, err error) {
	steadyThreads()
	if o.Tasks > 0 {
		if err := becomeOwnUser(o.Tasks); err != nil {
			s.Unable = err.Error()
		}
	}
	modelInside, err = models[o.Model](o.At)
	return s, err
}

// becomeOwnUser changes to a user whom nobody else has, and who may have so many
// tasks: RLIMIT_NPROC counts a user's, and does not hold for root (INIT_USER in
// copy_process). Both that the lab looks into /proc/self for and that the worker
// dies with its holder are lost with the change (commit_creds), and asked for
// again.
func becomeOwnUser(tasks uint64) error {
	uid := 2_000_000_000 + os.Getpid()
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return os.NewSyscallError("setresuid", err)
	}
	return errors.Join(
		os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)),
		os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)),
		os.NewSyscallError("setrlimit", unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: tasks, Max: tasks})),
	)
}

// steadyThreads has the Go runtime start more threads than it will need: it
// keeps them, and starts no other as long as one is idle. So the number of
// tasks stays what it is when the limit is predicted, and the runtime never
// meets the limit itself, which would end the worker.
func steadyThreads() {
	const enough = 16
	var running, locked sync.WaitGroup
	release := make(chan struct{})
	locked.Add(enough)
	for range enough {
		running.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			locked.Done()
			<-release
		})
	}
	locked.Wait()
	close(release)
	running.Wait()
}

// taskLimit is RLIMIT_NPROC and what counts against it.
type taskLimit struct{ Limit, Running uint64 }

func (l taskLimit) free() uint64 { return l.Limit - min(l.Running, l.Limit) }

// taskLimitInside counts the threads of all processes of this one's user.
func taskLimitInside() (l taskLimit, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &limit); err != nil {
		return l, fmt.Errorf("read RLIMIT_NPROC: %w", err)
	}
	l.Limit = limit.Cur
	processes, err := filepath.Glob("/proc/[0-9]*/status")
	for _, process := range processes {
		status, err := readStatus(process)
		if err != nil {
			continue // it has ended
		}
		if uid := strings.Fields(status["Uid"]); len(uid) > 0 && uid[0] == fmt.Sprint(os.Getuid()) {
			l.Running += number(status["Threads"])
		}
	}
	return l, err
}

// modelAccepted is how far a server came. Served is less by one than Accepted
// where a connection was taken that then could not be served.
type modelAccepted struct {
	Accepted, Served int
	Errno            syscall.Errno
}

// acceptModelInside goes on until so many are served or the kernel refuses.
func acceptModelInside(count int) (a modelAccepted, err error) {
	for a.Served < count {
		if err = modelInside.accept(); err != nil {
			break
		}
		a.Accepted++
		if err = modelInside.serve(); err != nil {
			break
		}
		a.Served++
	}
	if errors.As(err, &a.Errno) && a.Errno != 0 {
		return a, nil
	}
	return a, err
}

// closeModelInside gives the descriptors back, so that what accept() could not
// take from the queue can be counted. It waits for as many as are wanted.
func closeModelInside(want int) (waiting int, err error) {
	if err := modelInside.close(); err != nil {
		return 0, err
	}
	for waiting < want {
		if err := modelInside.accept(); err != nil {
			break // the caller sees that one is missing
		}
		waiting++
	}
	return waiting, errors.Join(modelInside.close(), modelInside.stop())
}

// modelPatience is how long a server waits for a connection that a client has
// opened, and for its servants to leave.
const modelPatience = 10 * time.Second
