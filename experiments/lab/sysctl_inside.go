package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// sysctlPath: /proc/sys/net shows the namespace of the task that looks
// (net_ctl_header_lookup), so brink's /proc serves the holder as well.
func sysctlPath(name string) string { return "/proc/sys/" + strings.ReplaceAll(name, ".", "/") }

func (in *inside) readSysctl(s setting) (string, error) {
	value, err := os.ReadFile(sysctlPath(s.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read sysctl %s: a private namespace does not have it: it is host-wide, of a later kernel or of a module that is not loaded: %w",
			s.Name, syscall.ENOENT)
	}
	if err != nil {
		return "", fmt.Errorf("read sysctl %s: %w", s.Name, err)
	}
	return fields(string(value)), nil
}

func (in *inside) writeSysctl(s setting) (none, error) {
	if !isPrivate(s.Name) {
		return none{}, fmt.Errorf("set sysctl %s: not one of this namespace's own", s.Name)
	}
	if _, err := in.readSysctl(s); err != nil && !errors.Is(err, fs.ErrPermission) {
		return none{}, err // says why it is not there; some knobs can only be written
	}
	// with a newline: a write of nothing at all would leave a list as it is
	err := os.WriteFile(sysctlPath(s.Name), []byte(s.Value+"\n"), 0)
	if errors.Is(err, syscall.EROFS) {
		return none{}, fmt.Errorf("set sysctl %s: /proc/sys is mounted read-only, as containers have it: run brink outside or with a writable /proc/sys: %w", s.Name, err)
	}
	if err != nil {
		return none{}, fmt.Errorf("set sysctl %s to %q: %w", s.Name, s.Value, err)
	}
	return none{}, nil
}
