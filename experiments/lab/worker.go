package lab

import (
	"context"
	"errors"
	"fmt"
)

// WorkerOptions for a worker. The zero value gives as many descriptors as this
// process may have.
type WorkerOptions struct {
	// NoFile is RLIMIT_NOFILE, soft and hard. 0 is as high as allowed: up to
	// fs.nr_open with CAP_SYS_RESOURCE, else the hard limit.
	NoFile uint64
}

// A Worker is a process in a lab that opens sockets, one system call for each
// thing asked. Its errors are [*Refusal] where the kernel said no.
type Worker struct {
	lab    *Lab
	member *member
}

// Worker starts another process in the lab's namespace.
func (l *Lab) Worker(ctx context.Context, o WorkerOptions) (*Worker, error) {
	m, err := l.spawn(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	w := &Worker{lab: l, member: m}
	if err := errors.Join(w.begin(ctx, o), l.adopt(w)); err != nil {
		return nil, errors.Join(fmt.Errorf("start a worker: %w", err), w.Close())
	}
	return w, nil
}

// begin also proves that the pidfd is the worker's: it was opened by number,
// and the process with this number has just answered.
func (w *Worker) begin(ctx context.Context, o WorkerOptions) error {
	host, err := ownNetns()
	if err != nil {
		return err
	}
	b, err := begin.call(ctx, w.member.control, beginning{Host: host, NoFile: o.NoFile})
	if err == nil && (b.PID != w.member.pid || uint32(b.Netns) != w.lab.netns) {
		err = fmt.Errorf("process %d of namespace %d answered in place of %d of %d", b.PID, b.Netns, w.member.pid, w.lab.netns)
	}
	return err
}

func (l *Lab) adopt(w *Worker) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("the lab is closed")
	}
	l.workers[w] = struct{}{}
	return nil
}

// PID is the worker's, as brink's own PID namespace has it.
func (w *Worker) PID() int { return w.member.pid }

// Close lets the worker leave; the kernel closes its sockets as at any exit.
func (w *Worker) Close() error {
	w.member.control.close()
	return w.leave(w.member.end(leaveTime))
}

// Kill ends the worker with SIGKILL, in the middle of whatever it does.
func (w *Worker) Kill() error {
	w.member.kill()
	w.member.control.close()
	return w.leave(w.member.end(killTime))
}

func (w *Worker) leave(err error) error {
	w.lab.mu.Lock()
	defer w.lab.mu.Unlock()
	delete(w.lab.workers, w)
	return err
}
