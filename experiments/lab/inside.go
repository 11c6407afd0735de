package lab

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// inside is the state of one worker process. Files named *_inside.go hold what
// runs there; the others hold what runs in brink.
type inside struct {
	forker   *thread        // forks further workers, when this is a holder
	children sync.WaitGroup // those
	sockets  sockets
	acceptor acceptor
	table    descriptorTable
}

func newInside() *inside {
	in := &inside{forker: newThread()}
	in.acceptor.epoll = -1
	in.table.open()
	return in
}

type beginning struct {
	Host   uint64 // inode of brink's own network namespace
	Holder bool
	NoFile uint64
}

type begun struct {
	PID   int
	Netns uint64
}

var begin = define("begin", (*inside).begin)

// begin is the first request to every process: it makes sure that the process
// is where it should be before it changes or opens anything.
func (in *inside) begin(b beginning) (begun, error) {
	netns, err := ownNetns()
	if err != nil {
		return begun{}, err
	}
	if netns == b.Host {
		return begun{}, fmt.Errorf("worker %d is in brink's own network namespace and will not work there", os.Getpid())
	}
	if b.Holder {
		err = LoopbackUp()
	} else {
		err = limitDescriptors(b.NoFile)
	}
	return begun{PID: os.Getpid(), Netns: netns}, err
}

// ownNetns is the number by which the kernel knows the caller's network
// namespace: the inode of its nsfs file, net->ns.inum.
func ownNetns() (uint64, error) {
	var st syscall.Stat_t
	if err := syscall.Stat("/proc/self/ns/net", &st); err != nil {
		return 0, fmt.Errorf("read the network namespace's number from /proc/self/ns/net (is /proc mounted?): %w", err)
	}
	return st.Ino, nil
}

// awaitChildren reaps what brink has ended just before it ended this holder:
// in a container nobody else may. Bounded, because they die with it anyway.
func (in *inside) awaitChildren() {
	reaped := make(chan struct{})
	go func() { in.children.Wait(); close(reaped) }()
	select {
	case <-reaped:
	case <-time.After(leaveTime / 2):
	}
}
