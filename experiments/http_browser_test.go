package experiments

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestBrowsersLeg: with a program in the browser's place that loads the pictures
// over so many connections. It shows what the leg counts, and that it ends.
func TestBrowsersLeg(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("left out, it takes curl")
	}
	for connections, verdict := range map[int]Verdict{chromiumsLimit: Held, chromiumsLimit + 2: Refuted, chromiumsLimit - 2: Refuted} {
		if testing.Short() && verdict != Held {
			continue
		}
		dir := t.TempDir()
		script := fmt.Sprintf("#!/bin/sh\nfor last; do :; done\nexec %s -s -o /dev/null -Z --parallel-immediate --parallel-max %d \"${last}held/[0-39]\"\n",
			curl, connections)
		noError(t, os.WriteFile(filepath.Join(dir, "chromium"), []byte(script), 0o755))
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		told := fourPortsTold()
		told.Connections, told.Hits = 2*connections, nil
		r := run(t, &fakeKernel{told: told}, oneLeg(chromiumPerHost(40)))
		equal(t, fmt.Sprintf("with %d connections (%s)", connections, r.Reason), r.Verdict, verdict)
		equal(t, "measured", r.Measured.Value, connections)
	}
	profiles, _ := filepath.Glob(filepath.Join(os.TempDir(), "brink-chromium-*"))
	equal(t, "profiles left over", len(profiles), 0)
}

func TestPageOf(t *testing.T) {
	equal(t, "two pictures", pageOf(2),
		"<!doctype html><title>brink</title><link rel=icon href=data:,><img src=/held/0><img src=/held/1>")
}
