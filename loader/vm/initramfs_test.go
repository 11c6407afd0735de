package vm

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCPIO holds the archive against another implementation of the format.
func TestCPIO(t *testing.T) {
	var out bytes.Buffer
	w := newCPIO(&out)
	w.char("dev/console", 5, 1)
	w.file("/deep/er/a", 0o644, []byte("abc"))
	w.file("deep/b", 0o755, nil)
	w.file("../c", 0o755, []byte("four"))
	w.symlink("bin/sh", "busybox")
	w.dir("deep")
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	list := exec.Command(needBusybox(t), "cpio", "-tv")
	list.Stdin = &out
	listing, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(listing)) {
		fields := strings.Fields(line)
		got = append(got, fields[0]+" "+strings.Join(fields[5:], " "))
	}
	want := []string{
		"drwxr-xr-x dev", "crw------- dev/console",
		"drwxr-xr-x deep", "drwxr-xr-x deep/er", "-rw-r--r-- deep/er/a", "-rwxr-xr-x deep/b",
		"-rwxr-xr-x c", "drwxr-xr-x bin", "lrwxrwxrwx bin/sh -> busybox",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("archive lists\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestCPIOKeepsFirstError(t *testing.T) {
	w := newCPIO(fullDisk{})
	w.file("a", 0o644, nil)
	if err := w.close(); err == nil || err.Error() != "full" {
		t.Errorf("got error %v", err)
	}
}

func needBusybox(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox")
	}
	return path
}

// TestCommandScript runs the script that a guest would.
func TestCommandScript(t *testing.T) {
	busybox := needBusybox(t)
	dir := t.TempDir()
	script := filepath.Join(dir, "0")
	command := Command{
		Args: []string{busybox, "sh", "-c", `echo "$A|$B|$1"; pwd; exit 7`, "sh", "it's $HOME \\ \"\n*"},
		Env:  []string{"A=b=c", "B=' ; exit 1"},
		Dir:  dir,
	}
	if err := os.WriteFile(script, []byte(commandScript(command)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(busybox, "sh", script).Output()
	if want := "b=c|' ; exit 1|it's $HOME \\ \"\n*\n" + dir + "\n"; string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 7 {
		t.Errorf("got %v, want exit status 7", err)
	}
}

func TestInitScript(t *testing.T) {
	busybox := needBusybox(t)
	g := Guest{Commands: []Command{Shell("true"), Shell("true")}, Fetch: []string{"/a b"}, Tracefs: true}
	script := initScript(g, []string{"veth"})
	for _, want := range []string{"\nrun 0\nrun 1\nfetch 0 '/a b'\n", "insmod /brink/modules/veth.ko\n", "tracefs"} {
		if !strings.Contains(script, want) {
			t.Errorf("init script has no %q", want)
		}
	}
	check := exec.Command(busybox, "sh", "-n")
	check.Stdin = strings.NewReader(script)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	g.Tracefs = false
	if strings.Contains(initScript(g, nil), "tracefs") {
		t.Error("tracefs is mounted unasked")
	}
}

func TestWriteInitramfsRefusesDynamicBinary(t *testing.T) {
	dynamic, err := exec.LookPath("ls")
	if err != nil {
		t.Skip("needs a dynamic binary")
	}
	if _, err := readStatic(dynamic); err == nil {
		t.Skip("ls is static here")
	}
	err = addFiles(newCPIO(&bytes.Buffer{}), []File{{Path: "/ls", From: dynamic}})
	if err == nil || !strings.Contains(err.Error(), "not statically linked") {
		t.Errorf("got error %v", err)
	}
}

func TestReadStaticAcceptsData(t *testing.T) {
	for _, body := range []string{"", "#!", "#!/bin/sh\necho a script, longer than an ELF header's identification\n"} {
		file := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(file, []byte(body), 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := readStatic(file); err != nil || string(got) != body {
			t.Errorf("%q: got %q, %v", body, got, err)
		}
	}
}

func TestGuestDefaults(t *testing.T) {
	good := Guest{Kernel: stable, Commands: []Command{Shell("true")}, CPUs: 2, Icount: true}
	if g, err := good.withDefaults(); err != nil || g.CPUs != 1 || g.Memory == 0 || g.Timeout == 0 || g.Output == nil {
		t.Errorf("got %+v, %v", g, err)
	}
	for _, bad := range []Guest{{}, {Kernel: stable}, {Kernel: stable, Commands: []Command{{}}}} {
		if _, err := bad.withDefaults(); err == nil {
			t.Errorf("accepted %+v", bad)
		}
	}
}
