package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// victimMark, in the environment, makes the test binary a brink to be killed.
// Its workers inherit it, so its value finds them all.
const victimMark = "BRINK_LAB_TEST_VICTIM"

func victim() {
	ctx := context.Background()
	l, err := New(ctx, Options{UserNamespace: os.Getenv("BRINK_LAB_TEST_USERNS") != ""})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for range 2 {
		if _, err := l.Worker(ctx, WorkerOptions{}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println("netns", l.Netns())
	select {}
}

func itoa(n int) string { return strconv.Itoa(n) }

// startVictim gives the mark by which everything it starts can be found.
func startVictim(t *testing.T, extra ...string) (*exec.Cmd, string) {
	t.Helper()
	mark := fmt.Sprintf("%s=%d.%d", victimMark, os.Getpid(), time.Now().UnixNano())
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), mark), extra...)
	return cmd, mark
}

// marked lists the processes with the mark in their environment; zombies have none.
func marked(mark string) (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		if environ, err := os.ReadFile(file); err == nil && bytes.Contains(environ, []byte(mark)) {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

func inNetns(inode string) (pids []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == "net:["+inode+"]" {
			pids = append(pids, link)
		}
	}
	return pids
}

func TestKilledBrinkLeavesNothing(t *testing.T) {
	for name, extra := range map[string][]string{"": nil, "user namespace": {"BRINK_LAB_TEST_USERNS=1"}} {
		t.Run(name, func(t *testing.T) {
			newLab(t, Options{UserNamespace: extra != nil}) // or skip
			cmd, mark := startVictim(t, extra...)
			out := must(cmd.StdoutPipe())(t)
			noError(t, cmd.Start())
			line := make([]byte, 200)
			n, _ := out.Read(line)
			inode, ok := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "netns ")
			if !ok {
				t.Fatalf("the victim said %q", line[:n])
			}
			equal(t, "processes in the namespace", len(inNetns(inode)), 3)
			equal(t, "processes", len(marked(mark)), 4)
			noError(t, cmd.Process.Kill())
			cmd.Wait()
			eventually(t, "namespace gone", func() bool { return len(inNetns(inode)) == 0 })
			equal(t, "processes left", len(marked(mark)), 0)
		})
	}
}

// The kill may come at any moment of the making.
func TestKilledBrinkLeavesNothingAtAnyMoment(t *testing.T) {
	newLab(t, Options{}) // or skip
	for wait := time.Duration(0); wait < 60*time.Millisecond; wait += 3 * time.Millisecond {
		cmd, mark := startVictim(t)
		noError(t, cmd.Start())
		time.Sleep(wait)
		noError(t, cmd.Process.Kill())
		cmd.Wait()
		eventually(t, fmt.Sprint("nothing left after ", wait), func() bool { return len(marked(mark)) == 0 })
	}
}

// A thread that ends must not take the lab along: threads come and go in brink.
func TestLabOutlivesOtherThreads(t *testing.T) {
	var l *Lab
	brief := newThread()
	go brief.run()
	brief.do(func() { l = newLab(t, Options{}) })
	brief.close()
	time.Sleep(100 * time.Millisecond)
	noError(t, syscall.Kill(l.PID(), 0))
	must(l.Counters(deadline(t)))(t)
}
