package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"brink/collector/diagnosis"
)

func TestParseWhy(t *testing.T) {
	for in, want := range map[string]whySubject{
		"8080":                  {port: 8080, bare: true},
		"65535":                 {port: 65535, bare: true},
		"65536":                 {pid: 65536},
		"4194304":               {pid: 4194304},
		"port:22":               {port: 22},
		"pid:22":                {pid: 22},
		":8080":                 {port: 8080},
		"*:8080":                {port: 8080},
		"0.0.0.0:8080":          {port: 8080},
		"[::]:8080":             {port: 8080},
		"192.0.2.7:443":         {to: netip.MustParseAddrPort("192.0.2.7:443")},
		"[2001:db8::7]:443":     {to: netip.MustParseAddrPort("[2001:db8::7]:443")},
		"[::ffff:192.0.2.7]:80": {to: netip.MustParseAddrPort("192.0.2.7:80")},
		"[fe80::1%eth0]:22":     {to: netip.MustParseAddrPort("[fe80::1%eth0]:22")},
		"localhost:80":          {to: netip.MustParseAddrPort("127.0.0.1:80")},
	} {
		if got, err := parseWhy(in); err != nil || got != want {
			t.Errorf("%s is %+v and %v", in, got, err)
		}
	}
}

func TestWhyWrongUse(t *testing.T) {
	for _, c := range []struct {
		args, says string
		code       int
	}{
		{"", "why takes one argument: give a PORT", exitUsage},
		{"80 81", "why takes one argument: give a PORT", exitUsage},
		{"nonsense", "nonsense: give a PORT (8080 or port:8080), a process (pid:1234) or an ADDRESS:PORT", exitUsage},
		{"example.com:443", "names are not looked up", exitUsage},
		{"0", "0: a port is a number from 1 to 65535", exitUsage},
		{"port:70000", "a port is a number from 1 to 65535", exitUsage},
		{"port:http", "a port is a number from 1 to 65535", exitUsage},
		{":0", "a port is a number from 1 to 65535", exitUsage},
		{"pid:0", "a pid is a number from 1 to 4194304", exitUsage},
		{"pid:self", "a pid is a number from 1 to 4194304", exitUsage},
		{"99999999999", "a port is a number from 1 to 65535", exitUsage},
		{"4194305", "a pid is a number from 1 to 4194304", exitUsage},
		{"192.0.2.7", "the port is missing: write 192.0.2.7:443", exitUsage},
		{"192.0.2.7:0", "nothing listens on port 0", exitUsage},
		{"192.0.2.7:http", "the port is not a number from 1 to 65535", exitUsage},
		{"2001:db8::7", "are written as in [2001:db8::7]:443", exitUsage},
		{"[ff02::1]:443", "give the address of one host", exitUsage},
		{"80 --duration -1s", "--duration -1s: give a time", exitUsage},
		{"80 --rung ladder", `unknown rung "ladder"`, exitUsage},
		{"80 --netns /no/such/file", "give an inode number", exitUsage},
		{"80 --netns 1", "no process that can be seen lives in that network namespace", exitFailure},
		{"pid:1 --netns pid:1", "a process is looked at in its own network namespace", exitUsage},
		{"4194304", "there is no process 4194304: it has ended, or never was", exitFailure},
	} {
		cmd := brink(t, append([]string{"why"}, strings.Fields(c.args)...)...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("why %s ended with %d and said %q", c.args, code, &stderr)
		}
		if strings.Count(stderr.String(), "\n") != 1 || stdout.Len() > 0 {
			t.Errorf("why %s said %q, and %q on standard output", c.args, &stderr, &stdout)
		}
	}
}

// TestWhyZombie: a process that has ended and was not waited for.
func TestWhyZombie(t *testing.T) {
	child := exec.Command("true")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	said := ""
	for range 100 {
		cmd := brink(t, "why", "--duration", "0", fmt.Sprintf("pid:%d", child.Process.Pid))
		out, _ := cmd.CombinedOutput()
		if said = string(out); strings.Contains(said, "true is a zombie") && cmd.ProcessState.ExitCode() == exitFailure {
			return
		}
	}
	t.Errorf("of a zombie it says %s", said)
}

// TestWhyThread: a number that is a thread's stands for its process.
func TestWhyThread(t *testing.T) {
	tasks := must[[]os.DirEntry](t)(os.ReadDir("/proc/self/task"))
	for _, task := range tasks {
		if task.Name() == fmt.Sprint(os.Getpid()) {
			continue
		}
		out := must[[]byte](t)(brink(t, "why", "--duration", "0", "pid:"+task.Name()).Output())
		for _, says := range []string{"process " + fmt.Sprint(os.Getpid()) + " brink.test", task.Name() + " is a thread of process"} {
			if !bytes.Contains(out, []byte(says)) {
				t.Errorf("no %q in %s", says, out)
			}
		}
		return
	}
	t.Fatal("this test has no second thread")
}

// TestWhyPlainUser: without root there is a snapshot, and what it lacks is said.
func TestWhyPlainUser(t *testing.T) {
	needRoot(t)
	dir := must[string](t)(os.MkdirTemp("/tmp", "brink-test-"))
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "brink.test")
	if err := os.WriteFile(binary, must[[]byte](t)(os.ReadFile("/proc/self/exe")), 0o755); err != nil {
		t.Fatal(err)
	}
	l := must[net.Listener](t)(listen("127.0.0.1:0"))
	defer l.Close()
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct{ argument, says, lacks string }{
		{"port:" + port, "a process of user 0 that cannot be seen from here (listening on", "could not be watched"},
		{"pid:1", "cannot be seen", "only root may (try sudo)"},
		{"127.0.0.1:" + port, "nothing stands in the way to 127.0.0.1", "could not be watched"},
	} {
		cmd := exec.Command(binary, "why", c.argument)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "BRINK_TEST_AS_BRINK=1", "HOME="+dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.Output()
		said := strings.Join(strings.Fields(string(out)), " ")
		if err != nil || !strings.Contains(said, c.says) || !strings.Contains(said[strings.Index(said, "UNKNOWN"):], c.lacks) {
			t.Errorf("why %s: %v, and it says %s", c.argument, err, out)
		}
	}
}

// TestWhyText: no sentence is broken in its middle by what a process is called.
func TestWhyText(t *testing.T) {
	var b bytes.Buffer
	d := diagnosis.Diagnosis{Verdict: "process 7 a\x1b[31m\nb is fine.", Findings: []diagnosis.Finding{
		{Kind: diagnosis.Held, Text: "It is so.", Source: "sock_diag", Fixes: []diagnosis.Fix{{Advice: "do this", Cost: "little"}, {Advice: "sysctl -w a=b"}}},
		{Kind: diagnosis.Unknown, Text: "What else."},
	}}
	if err := whyText(&b, &d); err != nil {
		t.Fatal(err)
	}
	const want = "process 7 a?[31m?b is fine.\n\nEVIDENCE\n- It is so. [sock_diag]\n\nWHAT TO DO\n- Do this. Cost: little.\n- sysctl -w a=b.\n\nUNKNOWN\n- What else.\n"
	if b.String() != want {
		t.Errorf("it says\n%s", &b)
	}
}
