package experiments

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

// What a worker does with a real browser, which lives in the lab's namespace.
var (
	startChromium = lab.DefineProgram("start Chromium", startChromiumInside)
	// stopChromium freezes it: else it would connect again what the server resets.
	stopChromium = lab.DefineProgram("freeze Chromium", func(struct{}) (struct{}, error) {
		return struct{}{}, unix.Kill(-chromium.process.Process.Pid, unix.SIGSTOP)
	})
	endChromium = lab.DefineProgram("end Chromium", func(struct{}) (struct{}, error) { return struct{}{}, endChromiumInside() })
)

// chromiumNames are what distributions call it.
var chromiumNames = []string{"chromium", "chromium-browser", "google-chrome"}

// findChromium is the path of one, or empty.
func findChromium() string {
	for _, name := range chromiumNames {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// pageOf so many pictures of one host.
func pageOf(pictures int) string {
	var page strings.Builder
	page.WriteString("<!doctype html><title>brink</title><link rel=icon href=data:,>")
	for i := range pictures {
		fmt.Fprintf(&page, "<img src=%s%d>", heldPath, i)
	}
	return page.String()
}

type chromiumOptions struct{ Path, URL string }

// chromium is the worker's browser, and the directory of its profile.
var chromium struct {
	process *exec.Cmd
	profile string
}

// startChromiumInside: the browser's own sandbox refuses root. It gets a process
// group, so that its helpers end with it, and goes when the worker does.
func startChromiumInside(o chromiumOptions) (struct{}, error) {
	profile, err := os.MkdirTemp("", "brink-chromium-")
	if err != nil {
		return struct{}{}, err
	}
	flags := []string{
		"--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-extensions", "--disable-sync", "--no-proxy-server", "--remote-debugging-port=0", "--user-data-dir=" + profile,
	}
	if os.Geteuid() == 0 {
		flags = append(flags, "--no-sandbox")
	}
	browser := exec.Command(o.Path, append(flags, o.URL)...)
	browser.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	if err := browser.Start(); err != nil {
		os.RemoveAll(profile)
		return struct{}{}, fmt.Errorf("start %s: %w", o.Path, err)
	}
	chromium.process, chromium.profile = browser, profile
	return struct{}{}, nil
}

func endChromiumInside() error {
	if chromium.process != nil {
		unix.Kill(-chromium.process.Process.Pid, unix.SIGKILL)
		chromium.process.Wait() // killed, it says
	}
	return os.RemoveAll(chromium.profile)
}
