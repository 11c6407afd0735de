package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

// An order is what a load is told to do.
type order struct {
	Kind   string
	CPU    int
	Warm   int // connections before the measured ones
	Count  int
	During time.Duration // instead of Count
}

// work is what a load has done.
type work struct {
	Netns       uint32
	Port        int // the server's
	Connections int // the measured ones
	Wall, CPU   time.Duration
}

// beLoad is a worker's life, in a namespace that it was started in: prepare,
// wait, work, and stay until bench has looked: its end takes the namespace and
// the timewait sockets with it, which costs time as well.
func beLoad(args []string) error {
	var o order
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return err
	}
	debug.SetGCPercent(-1)
	if err := hurry(); err != nil {
		return err
	}
	if err := pin(o.CPU); err != nil {
		return err
	}
	if err := furnish(); err != nil {
		return err
	}
	c, err := newChurn(o.Kind)
	if err != nil {
		return err
	}
	if _, err := c.run(o.Warm, 0); err != nil && o.Warm > 0 {
		return err
	}
	w := work{Port: c.port}
	if w.Netns, err = ownNetns(); err != nil {
		return err
	}
	answer := json.NewEncoder(os.Stdout)
	if err := answer.Encode(w); err != nil {
		return err
	}
	if !ordered() {
		return nil
	}
	wall, cpu := now(unix.CLOCK_MONOTONIC), now(unix.CLOCK_THREAD_CPUTIME_ID)
	w.Connections, err = c.run(o.Count, o.During)
	w.Wall, w.CPU = now(unix.CLOCK_MONOTONIC)-wall, now(unix.CLOCK_THREAD_CPUTIME_ID)-cpu
	if err != nil {
		return err
	}
	err = answer.Encode(w)
	ordered()
	return err
}

// ordered waits for bench's word; none comes when bench has closed the pipe.
func ordered() bool {
	n, _ := os.Stdin.Read(make([]byte, 1))
	return n == 1
}

// pin keeps this thread, and what it starts, on one CPU.
func pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &set))
}

// hurry puts this thread, and what it becomes, before the other programs of the
// machine: whoever runs in between leaves cold caches. Loads and tracers hurry
// alike. Where the scheduler groups tasks by session (CONFIG_SCHED_AUTOGROUP),
// nice values count inside a group alone, and the group's own is what helps; for
// that each of them is started in a session of its own, as services are.
func hurry() error {
	const most = -20
	err := os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(most)), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.NewSyscallError("setpriority", unix.Setpriority(unix.PRIO_PROCESS, 0, most))
}

// furnish prepares the new namespace: loopback up, and room for the timewait
// sockets of a whole round, so that none of them overflows.
func furnish() error {
	if err := lab.LoopbackUp(); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	const knob = "/proc/sys/net/ipv4/tcp_max_tw_buckets"
	return os.WriteFile(knob, []byte("10000000"), 0)
}

func ownNetns() (uint32, error) {
	info, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return 0, err
	}
	return uint32(info.Sys().(*syscall.Stat_t).Ino), nil
}

// now reads one of the kernel's clocks.
func now(clock int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		panic(os.NewSyscallError("clock_gettime", err)) // such a clock is always there
	}
	return time.Duration(t.Nano())
}
