package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const program = "/usr/local/bin/brink"

// TestUnit has systemd parse the unit and judge how exposed it leaves the host.
func TestUnit(t *testing.T) {
	needSystemd(t)
	unit := installed(t, string(read(t, "brink.service")))
	// An unknown setting is a warning only, so that there must be none.
	if said := succeed(t, "systemd-analyze", "verify", "--man=no", unit); said != "" {
		t.Errorf("systemd says:\n%s", said)
	}
	// Of 100; an ordinary service has 96.
	succeed(t, "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=35", unit)
	if a, b := unitSetting(t, "AmbientCapabilities"), unitSetting(t, "CapabilityBoundingSet"); a != b {
		t.Errorf("has %s, may have %s", a, b)
	}
}

// TestUnitWrong: systemd tells a setting that it does not know.
func TestUnitWrong(t *testing.T) {
	needSystemd(t)
	unit := installed(t, strings.Replace(string(read(t, "brink.service")), "WatchdogSec", "WatchDogSec", 1))
	said, _ := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
	if !strings.Contains(string(said), "WatchDogSec") {
		t.Errorf("systemd says %q", said)
	}
}

// installed is the unit in a file of its own, with a program that is there.
func installed(t *testing.T, unit string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(unit, "ExecStart="+program+" ") {
		t.Fatalf("the unit does not start %s", program)
	}
	file := filepath.Join(t.TempDir(), "brink.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(unit, program, self)), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// unitSetting is the value of a setting that the unit has once.
func unitSetting(t *testing.T, name string) (value string) {
	t.Helper()
	for line := range strings.Lines(string(read(t, "brink.service"))) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			value = rest
		}
	}
	if value == "" {
		t.Fatalf("the unit has no %s", name)
	}
	return value
}

// needSystemd leaves a test out where systemd is not installed. CI has it.
func needSystemd(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err == nil {
		return
	}
	if os.Getenv("BRINK_BACKENDS") == "1" || os.Getenv("CI") != "" {
		t.Fatal("systemd-analyze is missing: install systemd")
	}
	t.Skip("left out: systemd-analyze is not installed")
}
