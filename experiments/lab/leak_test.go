package lab

import (
	"net/netip"
	"os"
	"runtime"
	"testing"
)

func TestCloseLeavesNoDescriptorAndNoGoroutine(t *testing.T) {
	cycle := func() {
		l := newLab(t, Options{})
		other := newLab(t, Options{Beside: l})
		w := newWorker(t, l, WorkerOptions{})
		must(w.Listen(deadline(t), ListenOptions{Addr: netip.MustParseAddrPort("[::1]:0"), Accept: true}))(t)
		noError(t, other.Close())
		noError(t, l.Close())
	}
	cycle() // what the runtime keeps for good, such as its epoll instance
	descriptors, goroutines := openDescriptors(t), runtime.NumGoroutine()
	for range 5 {
		cycle()
	}
	equal(t, "descriptors", openDescriptors(t), descriptors)
	eventually(t, "goroutines", func() bool { return runtime.NumGoroutine() <= goroutines })
}

func openDescriptors(t *testing.T) int { return len(must(os.ReadDir("/proc/self/fd"))(t)) }
