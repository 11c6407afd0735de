package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Options for a lab. The zero value is what most experiments want.
type Options struct {
	// UserNamespace makes the lab in a new user namespace even where root could
	// do without: the kernel itself then refuses every host-wide change.
	UserNamespace bool
	// Beside makes the new lab a child of another one, in the same user
	// namespace, so that the two can be linked without root. It ends with it.
	Beside *Lab
}

// A Lab is one private network namespace and the processes that keep it. It
// may be used by several goroutines.
type Lab struct {
	holder *member
	netns  uint32
	forker *thread       // forked the holder; nil when another lab's holder did
	reaped chan struct{} // closed when the holder has been waited for; likewise

	mu      sync.Mutex // guards what follows
	workers map[*Worker]struct{}
	closed  bool
	atEnd   []func() error

	closing  sync.Once
	closeErr error
}

// member is one process of a lab and the connection to it.
type member struct {
	*process
	control *control
}

// New makes a network namespace with nothing but loopback in it, which is up.
// ctx bounds the making only; the lab lives until Close, or until brink dies.
func New(ctx context.Context, o Options) (*Lab, error) {
	l, err := fork(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("make a private network namespace: %w", err)
	}
	if err := l.begin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the private network namespace: %w", advise(err)), l.Close())
	}
	return l, nil
}

func (l *Lab) begin(ctx context.Context) error {
	host, err := ownNetns()
	if err != nil {
		return err
	}
	b, err := begin.call(ctx, l.holder.control, beginning{Host: host, Holder: true})
	l.netns = uint32(b.Netns)
	return err
}

// PID is the process that holds the namespace.
func (l *Lab) PID() int { return l.holder.pid }

// Netns is the namespace's number: the inode that `lsns -t net` shows, and what
// the kernel's struct net has as ns.inum.
func (l *Lab) Netns() uint32 { return l.netns }

// NetnsPath can be opened for setns(2). Whoever keeps it open keeps the
// namespace: use it and close it.
func (l *Lab) NetnsPath() string { return fmt.Sprintf("/proc/%d/ns/net", l.PID()) }

// Close ends every process of the lab, and with them the namespace. It waits
// until they are gone, within bounds, and says which one is not.
func (l *Lab) Close() error {
	l.closing.Do(func() { l.closeErr = l.close() })
	return l.closeErr
}

func (l *Lab) close() error {
	l.mu.Lock()
	l.closed = true
	workers := l.workers
	l.workers = nil
	l.mu.Unlock()

	for w := range workers {
		w.member.control.close() // all of them first: they take their sockets down at the same time
	}
	var failed []error
	for w := range workers {
		failed = append(failed, w.Close())
	}
	l.holder.control.close()
	failed = append(failed, l.holder.end(leaveTime))
	if l.forker != nil {
		l.forker.close()
		<-l.reaped
	}
	failed = append(failed, l.putBack())
	return errors.Join(failed...)
}
