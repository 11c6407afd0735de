package backends

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience is for a backend to be ready or to have got something, on a machine
// that has other things to do.
const patience = 60 * time.Second

// addresses tells a process's backends apart. Another test's, at the same time, are
// elsewhere in 127.64.0.0/10, which has 22 bits: by its PID.
var addresses atomic.Uint32

// NewAddress is a loopback address that nothing listens at yet.
func NewAddress() string {
	n := uint32(os.Getpid())*8 + addresses.Add(1)
	return fmt.Sprintf("127.%d.%d.%d", 64+n>>16&63, n>>8&255, n&255)
}

// A Process is a backend that runs, or did until Stop.
type Process struct {
	Address string // an IPv4 loopback address of its own

	t     testing.TB
	name  string
	args  []string
	env   []string // beside this process's own
	ready func() bool

	log    buffer
	cmd    *exec.Cmd
	exited chan struct{}
}

// Run starts a command as it is, with its environment, and takes it as ready once
// the URL answers 200. It is stopped after the test.
func Run(t testing.TB, cmd *exec.Cmd, ready string) *Process {
	t.Helper()
	p := &Process{t: t, name: cmd.Args[0], args: append([]string{cmd.Path}, cmd.Args[1:]...), env: cmd.Env, ready: answers(ready)}
	p.start()
	return p
}

// start starts it, waits until it is ready, and stops it after the test.
func (p *Process) start() {
	p.t.Helper()
	p.Start()
	p.t.Cleanup(func() {
		p.Stop()
		if p.t.Failed() {
			p.t.Logf("%s said:\n%s", p.name, tail(p.log.String(), 12))
		}
	})
}

// Start starts what was stopped, at the same address.
func (p *Process) Start() {
	p.t.Helper()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	p.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		runtime.LockOSThread() // Pdeathsig comes when the thread ends that forked
		defer runtime.UnlockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
	}(p.cmd, p.exited)
	if err := <-started; err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
	Eventually(p.t, p.name+" to be ready", func() bool {
		select {
		case <-p.exited:
			p.t.Fatalf("%s ended: %s", p.name, tail(p.log.String(), 12))
		default:
		}
		return p.ready()
	})
}

// Stop ends it as a crash would: what it has in memory is gone.
func (p *Process) Stop() {
	p.cmd.Process.Kill() // it may have ended by itself: then there is nothing to do
	<-p.exited
}

// Signal tells it something while it runs.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %v to %s: %v", s, p.name, err)
	}
}

// End asks it to end, and returns its exit status.
func (p *Process) End() int {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s did not end on SIGTERM: %s", p.name, tail(p.log.String(), 12))
	}
	return p.cmd.ProcessState.ExitCode()
}

// Said is all that it wrote to standard output and error.
func (p *Process) Said() string { return p.log.String() }

// listens is ready as soon as somebody accepts connections there.
func listens(address string) func() bool {
	return func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		c.Close()
		return true
	}
}

// answers is ready as soon as a request for the URL succeeds.
func answers(url string) func() bool { return func() bool { return succeeds(url) } }

func succeeds(url string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// Eventually waits until something holds, and fails the test where it does not.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited %v for %s in vain", patience, what)
}

// buffer is what a process said.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
