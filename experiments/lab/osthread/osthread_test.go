package osthread

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func pair(t *testing.T) (near, far int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	noError(t, err)
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	return fds[0], fds[1]
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// echoing counts the threads that block every signal that can be (SIGKILL and
// SIGSTOP cannot): no thread of Go's does.
func echoing(t *testing.T) (n int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	noError(t, err)
	for _, status := range tasks {
		if blocked(status) == "fffffffffffbfeff" {
			n++
		}
	}
	return n
}

func blocked(status string) string {
	text, _ := os.ReadFile(status) // it may have ended
	_, after, _ := strings.Cut(string(text), "SigBlk:\t")
	mask, _, _ := strings.Cut(after, "\n")
	return mask
}

// leave waits until every thread has left its stack.
func leave(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); echoing(t) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d threads stay", echoing(t))
		}
	}
}

func stack(t *testing.T) *Stack {
	t.Helper()
	s, err := NewStack(DefaultStackSize())
	noError(t, err)
	return s
}

// say writes on near and wants the same back.
func say(t *testing.T, near int, line string) {
	t.Helper()
	_, err := unix.Write(near, []byte(line))
	noError(t, err)
	got := make([]byte, 64)
	n, err := unix.Read(near, got)
	for err == syscall.EINTR {
		n, err = unix.Read(near, got)
	}
	noError(t, err)
	if string(got[:n]) != line {
		t.Errorf("%q came back as %q", line, got[:n])
	}
}

// TestEcho: a thread a connection, all of them while Go collects, moves stacks
// and preempts by signals; and each ends with its connection.
func TestEcho(t *testing.T) {
	const connections = 100
	var near [connections]int
	for i := range near {
		var far int
		near[i], far = pair(t)
		s := stack(t)
		noError(t, Echo(far, s))
		t.Cleanup(func() { noError(t, s.Free()) })
	}
	if n := echoing(t); n != connections {
		t.Errorf("%d threads, want %d", n, connections)
	}
	arriving := make(chan os.Signal, 1)
	signal.Notify(arriving, syscall.SIGUSR1)
	defer signal.Stop(arriving)
	for round := range 20 {
		noError(t, unix.Kill(os.Getpid(), syscall.SIGUSR1))
		runtime.GC()
		for i, fd := range near {
			say(t, fd, fmt.Sprintf("round %d of %d", round, i))
		}
	}
	<-arriving
	for _, fd := range near {
		noError(t, unix.Shutdown(fd, unix.SHUT_WR))
	}
	leave(t)
}

// TestMask: the caller's mask is as it was.
func TestMask(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	status := fmt.Sprintf("/proc/self/task/%d/status", unix.Gettid())
	before := blocked(status)
	near, far := pair(t)
	s := stack(t)
	noError(t, Echo(far, s))
	if now := blocked(status); now != before {
		t.Errorf("the mask became %s, was %s", now, before)
	}
	noError(t, unix.Shutdown(near, unix.SHUT_WR))
	leave(t)
	noError(t, s.Free())
}

func TestNoStack(t *testing.T) {
	if _, err := NewStack(1 << 62); err == nil {
		t.Error("a stack larger than memory can be")
	}
}
