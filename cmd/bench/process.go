package main

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// starter runs what starts processes, on one thread that lives as long as
// bench: Pdeathsig is sent when the thread that started a process ends.
var starter = func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
}()

func startKept(cmd *exec.Cmd) (err error) {
	done := make(chan struct{})
	starter <- func() { err = cmd.Start(); close(done) }
	<-done
	return err
}

// cpuTime is what a process has used until now, all its threads together. The
// kernel makes a clock of it (CPUCLOCK_SCHED), exact to the nanosecond, where
// /proc/PID/stat has ticks.
func cpuTime(pid int) time.Duration {
	const cpuclockSched = 2
	return now(int32(^pid<<3 | cpuclockSched))
}

// memory is a process's resident set now and at its highest, in bytes.
func memory(pid int) (rss, peak int) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0 // it has ended
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch n, _ := strconv.Atoi(fields[1]); fields[0] {
		case "VmRSS:":
			rss = n << 10
		case "VmHWM:":
			peak = n << 10
		}
	}
	return rss, peak
}
