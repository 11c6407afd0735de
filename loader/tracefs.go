package loader

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const tracefs = "/sys/kernel/tracing"

// withTracefs calls f with tracefs at hand, which tracepoints are looked up in.
// Where the host has not mounted it, f runs on a thread with a mount namespace
// of its own and tracefs in that: the host sees nothing, and the mount goes with
// the thread. Without the right to do that f runs all the same and finds no
// tracepoints.
func withTracefs(f func()) {
	if TracefsMounted() {
		f()
		return
	}
	done := make(chan struct{})
	go onMortalThread(done, func() {
		_ = mountTracefs()
		f()
	})
	<-done
}

// onMortalThread runs f on a thread that ends with it: the goroutine stays
// locked to it. The main thread would not end, and what is done to it would
// show in /proc/self; so it is kept busy while another one is used.
func onMortalThread(done chan<- struct{}, f func()) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		defer runtime.UnlockOSThread()
		inner := make(chan struct{})
		go onMortalThread(inner, f)
		<-inner
		close(done)
		return
	}
	defer close(done)
	f()
}

// TracefsMounted reports whether the host has tracefs at its usual place.
func TracefsMounted() bool {
	_, err := os.Stat(tracefs + "/events")
	return err == nil
}

func mountTracefs() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("tracefs", tracefs, "tracefs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}
