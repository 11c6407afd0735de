package vm

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// writeInitramfs writes everything a guest has: it needs no disk.
func writeInitramfs(out io.Writer, g Guest, image Image) error {
	buffered := bufio.NewWriterSize(out, 1<<20)
	w := newCPIO(buffered)
	addBase(w)
	if err := addBusybox(w); err != nil {
		return err
	}
	var modules []string
	if !g.NoModules {
		modules = image.manifest.Modules
	}
	if err := addModules(w, image, modules); err != nil {
		return err
	}
	if err := addFiles(w, g.Files); err != nil {
		return err
	}
	for i, c := range g.Commands {
		w.file(filepath.Join(commandDir, strconv.Itoa(i)), 0o644, []byte(commandScript(c)))
	}
	w.file("init", 0o755, []byte(initScript(g, modules)))
	if err := w.close(); err != nil {
		return fmt.Errorf("write initramfs: %w", err)
	}
	return buffered.Flush()
}

// addBase adds the mount points, the console and the few files in /etc that
// name look-ups expect.
func addBase(w *cpioWriter) {
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "run", "root", "sbin", "var/tmp"} {
		w.dir(dir)
	}
	w.char("dev/console", 5, 1)
	w.file("etc/hosts", 0o644, []byte("127.0.0.1 localhost\n::1 localhost\n"))
	w.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n"))
	w.file("etc/group", 0o644, []byte("root:x:0:\n"))
}

// addBusybox adds the host's busybox under the names of all its commands.
func addBusybox(w *cpioWriter) error {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("%w (install busybox-static)", err)
	}
	body, err := readStatic(path)
	if err != nil {
		return err
	}
	names, err := exec.Command(path, "--list").Output()
	if err != nil {
		return fmt.Errorf("list busybox commands: %w", err)
	}
	w.file("bin/busybox", 0o755, body)
	for _, name := range strings.Fields(string(names)) {
		if name != "busybox" {
			w.symlink("bin/"+name, "busybox")
		}
	}
	return nil
}

// readStatic reads a file for the guest. It refuses a dynamic binary here,
// where its name is known: in the guest it would only say "not found".
func readStatic(path string) ([]byte, error) {
	body, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(body, []byte(elf.ELFMAG)) {
		return body, err
	}
	file, err := elf.NewFile(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("%s is not statically linked (for Go: CGO_ENABLED=0; for busybox: busybox-static)", path)
		}
	}
	return body, nil
}

func addModules(w *cpioWriter, image Image, names []string) error {
	for _, name := range names {
		body, err := os.ReadFile(image.module(name))
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		w.file(filepath.Join(moduleDir, name+".ko"), 0o644, body)
	}
	return nil
}

func addFiles(w *cpioWriter, files []File) error {
	for _, f := range files {
		body := f.Data
		if f.From != "" {
			var err error
			if body, err = readStatic(f.From); err != nil {
				return fmt.Errorf("guest file: %w", err)
			}
		}
		mode := f.Mode
		if mode == 0 {
			mode = 0o755
		}
		w.file(f.Path, mode, body)
	}
	return nil
}
