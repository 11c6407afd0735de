package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"brink/experiments"
)

func TestWrongUse(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"run", "no-such-experiment"}, `there is no experiment "no-such-experiment": brink list shows them`},
		{[]string{"run", "--rung", "ladder"}, `unknown rung "ladder"`},
		{[]string{"run", "--no-such-flag"}, "flag provided but not defined"},
		{[]string{"trace", "--port", "70000"}, "a port is at most 65535"},
		{[]string{"trace", "--cidr", "10.0.0.0/99"}, "is neither an address nor a prefix"},
		{[]string{"trace", "--netns", "/no/such/file"}, "give an inode number"},
		{[]string{"trace", "8080"}, "trace takes no argument"},
		{[]string{"list", "all"}, "list takes no argument"},
		{[]string{"wag"}, `there is no command "wag"`},
	} {
		cmd := brink(t, c.args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("brink %v ended with %d and said %q", c.args, code, stderr.String())
		}
		if n := strings.Count(stderr.String(), "\n"); n != 1 || stdout.Len() > 0 {
			t.Errorf("brink %v said %d lines, and %q on standard output", c.args, n, stdout.String())
		}
	}
}

func TestFlagsAfterArguments(t *testing.T) {
	a := app()
	a.Setup()
	for in, want := range map[string]string{
		"brink run ephemeral-ports --full":           "brink run --full ephemeral-ports",
		"brink run a --out x b --json":               "brink run --out x --json a b",
		"brink run a --out=x":                        "brink run --out=x a",
		"brink trace --pid 1 --json":                 "brink trace --pid 1 --json",
		"brink run a -- --full":                      "brink run a -- --full",
		"brink no-such-command --full":               "brink no-such-command --full",
		"brink --version":                            "brink --version",
		"brink run --rung kprobe a":                  "brink run --rung kprobe a",
		"brink trace --cidr 10.0.0.0/8 --limit-hits": "brink trace --cidr 10.0.0.0/8 --limit-hits",
	} {
		if got := flagsFirst(a, strings.Fields(in)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s became %v", in, got)
		}
	}
}

func TestListShowsThemAll(t *testing.T) {
	stdout := must[[]byte](t)(brink(t, "list", "--json").Output())
	for _, e := range experiments.All() {
		if !bytes.Contains(stdout, []byte(`{"experiment":"`+e.Name+`"`)) {
			t.Errorf("list leaves %s out", e.Name)
		}
	}
	if text := must[[]byte](t)(brink(t, "list").Output()); bytes.Contains(text, []byte("\x1b")) {
		t.Error("list is coloured although nobody is at a terminal")
	}
}

// TestPlainUser: without root the experiments still run where user namespaces
// are allowed, and say that there is no kernel evidence.
func TestPlainUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("left out: it takes root to become somebody else")
	}
	dir := must[string](t)(os.MkdirTemp("/tmp", "brink-test-"))
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "brink.test")
	if err := os.WriteFile(binary, must[[]byte](t)(os.ReadFile("/proc/self/exe")), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "run", "--json", "same-tuple-twice", "--out", filepath.Join(dir, "report"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "BRINK_TEST_AS_BRINK=1", "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, _ := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != exitFailure {
		t.Errorf("it ended with %d: %s", code, &stderr)
	}
	if !strings.Contains(stderr.String(), "try sudo") {
		t.Errorf("it does not say what to do: %s", &stderr)
	}
	var r struct {
		Verdict  experiments.Verdict
		Evidence struct{ Mode string }
	}
	if err := json.Unmarshal(stdout, &r); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if r.Verdict != experiments.Inconclusive || r.Evidence.Mode != "none" {
		t.Errorf("a plain user gets %s by %s", r.Verdict, r.Evidence.Mode)
	}
}
