package lab

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestLabIsAnotherNamespace(t *testing.T) {
	for name, o := range map[string]Options{"": {}, "user namespace": {UserNamespace: true}} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, o)
			host := must(ownNetns())(t)
			if uint64(l.Netns()) == host {
				t.Fatal("the lab is in the host's namespace")
			}
			var st syscall.Stat_t
			noError(t, syscall.Stat(l.NetnsPath(), &st))
			equal(t, "inode", uint32(st.Ino), l.Netns())
			w := newWorker(t, l, WorkerOptions{})
			threads := must(filepath.Glob("/proc/" + itoa(w.PID()) + "/task/*/comm"))(t)
			for _, comm := range threads {
				equal(t, comm, string(must(os.ReadFile(comm))(t)), workerName+"\n")
			}
			noError(t, w.Close())
			noError(t, w.Close()) // twice is once
		})
	}
}

// A worker that finds itself in brink's namespace must refuse to work.
func TestWorkerRefusesTheHost(t *testing.T) {
	l := newLab(t, Options{})
	_, err := begin.call(deadline(t), l.holder.control, beginning{Host: uint64(l.Netns())})
	if err == nil {
		t.Fatal("the holder accepted to work in what it was told is brink's namespace")
	}
}

func TestCancelReturnsAtOnce(t *testing.T) {
	l := newLab(t, Options{})
	w := newWorker(t, l, WorkerOptions{})
	s := must(w.Listen(deadline(t), ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")}))(t)
	ctx, cancel := context.WithTimeout(deadline(t), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := w.AcceptN(ctx, s.Handle, AcceptOptions{Count: 1, Timeout: time.Minute})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	noError(t, l.Close())
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestCancelledNew(t *testing.T) {
	ctx, cancel := context.WithCancel(deadline(t))
	cancel()
	if _, err := New(ctx, Options{}); !errors.Is(err, context.Canceled) && os.Geteuid() == 0 {
		t.Errorf("got %v", err)
	}
}

func TestEndedWorker(t *testing.T) {
	l := newLab(t, Options{})
	w := newWorker(t, l, WorkerOptions{})
	noError(t, syscall.Kill(w.PID(), syscall.SIGKILL))
	eventually(t, "ErrEnded", func() bool {
		_, err := w.FreeDescriptors(deadline(t))
		return errors.Is(err, ErrEnded)
	})
	noError(t, w.Kill())
	noError(t, l.Close())
	if _, err := l.Worker(deadline(t), WorkerOptions{}); err == nil {
		t.Error("a closed lab gave a worker")
	}
}
