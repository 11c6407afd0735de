package backends

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"brink/loader/vm"
)

// cacheDir is where what was made stays.
func cacheDir() (string, error) {
	if dir := os.Getenv("BRINK_BACKENDS_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache folder: %w (set BRINK_BACKENDS_CACHE)", err)
	}
	return filepath.Join(dir, "brink", "backends"), nil
}

// cached returns the cache's folder of that name. Where there is none yet, make
// fills one beside its place first, with a work folder to do it in, so that what
// was interrupted never looks complete.
func cached(ctx context.Context, name string, make func(ctx context.Context, work, into string) error) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make cache: %w", err)
	}
	unlock, err := vm.LockFile(filepath.Join(cache, "."+name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	entry := filepath.Join(cache, name)
	if _, err := os.Stat(entry); err == nil {
		return entry, nil
	}
	work, err := os.MkdirTemp(cache, "."+name+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	into := filepath.Join(work, "made")
	if err := os.Mkdir(into, 0o755); err != nil {
		return "", err
	}
	if err := make(ctx, work, into); err != nil {
		return "", fmt.Errorf("make %s: %w", name, err)
	}
	return entry, os.Rename(into, entry)
}

// run runs a command in a folder and returns what it printed to its standard
// output; what it said otherwise is in the error.
func run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	// As pinned: no other toolchain is fetched, no workspace mixes in.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOWORK=off")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, tail(stderr.String(), 6))
	}
	return string(out), nil
}

// tail is the end of a long text, for an error message.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
