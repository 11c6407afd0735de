package experiments

import (
	"runtime"
	"sync"
	"time"

	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

// keepBusy leaves no CPU idle for a while, so that the kernel's timers that wait
// for a CPU to be busy run. It says on how many it did so.
var keepBusy = lab.DefineProgram("keep busy", func(long time.Duration) (int, error) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return 0, err
	}
	end := time.Now().Add(long)
	var spinning sync.WaitGroup
	for cpu := range len(allowed) * 64 {
		if allowed.IsSet(cpu) {
			spinning.Go(func() { spinOn(cpu, end) })
		}
	}
	spinning.Wait()
	return allowed.Count(), nil
})

func spinOn(cpu int, end time.Time) {
	runtime.LockOSThread() // for good: the thread ends with its affinity
	var one unix.CPUSet
	one.Set(cpu)
	unix.SchedSetaffinity(0, &one) // else the others' CPUs are busy anyhow
	for time.Now().Before(end) {
	}
}
