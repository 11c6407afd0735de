package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKillLeavesNothing kills brink in the middle of experiments, as nothing can
// be caught, and looks for what might be left: processes, namespaces, mounts.
func TestKillLeavesNothing(t *testing.T) {
	needRoot(t)
	before := host(t)
	for _, after := range []time.Duration{200 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond} {
		cmd := brink(t, "run", "--out", out(t))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		cmd.Process.Kill()
		cmd.Wait()
		var left []string
		for range 100 {
			if left = host(t).minus(before); len(left) == 0 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if len(left) > 0 {
			t.Errorf("10 s after a kill at %s there is still: %v", after, left)
		}
	}
}

// TestInterruptLeavesNothing: ctrl-C ends a run, says so, and cleans up.
func TestInterruptLeavesNothing(t *testing.T) {
	needRoot(t)
	before := host(t)
	cmd := brink(t, "run", "--json", "--out", out(t), "--full", "ephemeral-ports")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitFailure {
		t.Errorf("an interrupted run ended with %d", code)
	}
	if !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("an interrupted run says %q", stderr.String())
	}
	if left := host(t).minus(before); len(left) > 0 {
		t.Errorf("after an interrupt there is still: %v", left)
	}
}

// state is what a run could leave behind.
type state []string

// host lists the namespaces that have processes, the workers, and the mounts.
func host(t *testing.T) state {
	t.Helper()
	var s state
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			s = append(s, target)
		}
	}
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		if comm, _ := os.ReadFile(name); strings.HasPrefix(string(comm), "brink-worker") && !zombie(name) {
			s = append(s, name)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	s = append(s, strings.Split(string(mounts), "\n")...)
	slices.Sort(s)
	return slices.Compact(s)
}

// zombie: it has ended, and waits for pid 1 to notice.
func zombie(comm string) bool {
	stat, _ := os.ReadFile(filepath.Join(filepath.Dir(comm), "stat"))
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}

func (s state) minus(before state) (left []string) {
	for _, entry := range s {
		if !slices.Contains(before, entry) {
			left = append(left, entry)
		}
	}
	return left
}
