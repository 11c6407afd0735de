package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"brink/experiments/lab"
)

// TestMain makes the test binary serve as a lab's worker, and as brink itself:
// inside a guest there is no Go to build one.
func TestMain(m *testing.M) {
	lab.Main()
	actIfAsked()
	playIfAsked()
	if os.Getenv("BRINK_TEST_AS_BRINK") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// brink is the command line of this very binary, run as brink.
func brink(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), "BRINK_TEST_AS_BRINK=1")
	cmd.Dir = t.TempDir()
	return cmd
}

// needRoot leaves a test out for a plain user, and says so.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("left out: tracing the kernel takes root")
	}
}

// out is where a run's report goes in tests.
func out(t *testing.T) string { return filepath.Join(t.TempDir(), "report") }
