package vm

import (
	"fmt"
	"io"
	"path"
	"strings"
)

// A cpioWriter writes the "newc" format, the one that the kernel reads as an
// initramfs (Documentation/driver-api/early-userspace/buffer-format.rst).
// Uncompressed: measured, compression saves an emulated CPU nothing.
type cpioWriter struct {
	out   io.Writer
	inode uint32
	dirs  map[string]bool
	err   error
}

func newCPIO(out io.Writer) *cpioWriter {
	return &cpioWriter{out: out, dirs: map[string]bool{".": true}}
}

// The file types of stat(2).
const (
	modeFile    = 0o100000
	modeDir     = 0o040000
	modeChar    = 0o020000
	modeSymlink = 0o120000
)

// file adds a regular file, and the folders above it that are not there yet.
func (w *cpioWriter) file(name string, mode uint32, body []byte) {
	w.entry(name, modeFile|mode, body, 0, 0)
}

func (w *cpioWriter) symlink(name, target string) {
	w.entry(name, modeSymlink|0o777, []byte(target), 0, 0)
}

// char adds a character device. The kernel opens /dev/console for /init
// before any file system is mounted, so that node must be in the archive.
func (w *cpioWriter) char(name string, major, minor uint32) {
	w.entry(name, modeChar|0o600, nil, major, minor)
}

func (w *cpioWriter) dir(name string) {
	name = clean(name)
	if w.dirs[name] {
		return
	}
	w.dirs[name] = true
	w.entry(name, modeDir|0o755, nil, 0, 0)
}

// close ends the archive and returns the first error of all.
func (w *cpioWriter) close() error {
	w.raw("TRAILER!!!", 0, nil, 0, 0)
	return w.err
}

func (w *cpioWriter) entry(name string, mode uint32, body []byte, major, minor uint32) {
	name = clean(name)
	w.dir(path.Dir(name))
	w.raw(name, mode, body, major, minor)
}

func (w *cpioWriter) raw(name string, mode uint32, body []byte, major, minor uint32) {
	if w.err != nil {
		return
	}
	w.inode++
	const owner, group, links, mtime, devMajor, devMinor, check = 0, 0, 1, 0, 0, 0, 0
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		w.inode, mode, owner, group, links, mtime, len(body),
		devMajor, devMinor, major, minor, len(name)+1, check, name)
	for _, part := range []string{header, padding(len(header))} {
		w.write([]byte(part))
	}
	w.write(body)
	w.write([]byte(padding(len(body))))
}

func (w *cpioWriter) write(p []byte) {
	if w.err == nil {
		_, w.err = w.out.Write(p)
	}
}

// padding fills up to the format's four-byte boundary.
func padding(n int) string { return "\x00\x00\x00"[:(4-n%4)%4] }

// clean makes a guest path relative, as archives hold them.
func clean(name string) string {
	return path.Clean(strings.TrimLeft(path.Clean("/"+name), "/"))
}
