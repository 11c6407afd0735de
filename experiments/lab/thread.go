package lab

import "runtime"

// A thread is a goroutine locked to one OS thread for as long as it is needed.
// PR_SET_PDEATHSIG fires when the forking *thread* ends, and the Go runtime is
// free to end an idle one, so every fork goes through a thread that stays.
type thread struct {
	jobs chan func()
}

func newThread() *thread { return &thread{jobs: make(chan func())} }

// run makes the calling goroutine the thread until close. It never unlocks: the
// OS thread ends with the goroutine, and takes what it forked along.
func (t *thread) run() {
	runtime.LockOSThread()
	for job := range t.jobs {
		job()
	}
}

// do has the thread run f, and waits for it.
func (t *thread) do(f func()) {
	done := make(chan struct{})
	t.jobs <- func() { defer close(done); f() }
	<-done
}

func (t *thread) close() { close(t.jobs) }
