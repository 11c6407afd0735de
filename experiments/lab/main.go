package lab

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
)

const (
	workerName = "brink-worker"     // argv[0], and the name in ps
	workerMark = "BRINK_LAB_WORKER" // argv[0] alone could be a symlink's name
	controlFD  = 3                  // the worker's end of the socketpair
)

// Main turns the process into a worker when it was started as one, and then
// never returns. In every other process it does nothing.
func Main() {
	if os.Args[0] != workerName || os.Getenv(workerMark) == "" {
		return
	}
	nameThreads()
	dropInherited()
	control, err := takeControl()
	if err != nil {
		os.Stderr.WriteString(workerName + ": " + err.Error() + "\n")
		os.Exit(1)
	}
	in := newInside()
	go func() {
		in.serve(control)
		in.awaitChildren()
		// brink is gone, or wants this process gone. os.Exit would have a binary
		// with the race detector sleep for a second first.
		syscall.Exit(0)
	}()
	in.forker.run() // never returns: nobody closes a worker's own forker
}

func takeControl() (*net.UnixConn, error) {
	syscall.CloseOnExec(controlFD)
	return unixConn(os.NewFile(controlFD, "control"))
}

// nameThreads replaces the name "exe", which executing /proc/self/exe gives:
// tracers show a thread's name (bpf_get_current_comm), and threads to come
// inherit it from these.
func nameThreads() {
	tasks, _ := filepath.Glob("/proc/self/task/*/comm")
	for _, comm := range tasks {
		os.WriteFile(comm, []byte(workerName), 0) // only a name: a failure costs nothing
	}
}
