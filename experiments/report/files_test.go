package report

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brink/experiments"
)

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	noError(t, err)
	return string(content)
}

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "report")
	f, err := Create(dir)
	noError(t, err)
	var lines bytes.Buffer
	for _, r := range []experiments.Result{held(), several(), skipped()} {
		noError(t, f.Add(r))
		noError(t, WriteLine(&lines, r))
	}
	if got := read(t, dir, ResultsFile); got != lines.String() || strings.Count(got, "\n") != 3 {
		t.Errorf("the file has\n%snot\n%s", got, lines.String())
	}
	if !strings.Contains(lines.String(), "& <lost>") {
		t.Errorf("the lines are written for HTML: %s", lines.String())
	}
	noError(t, f.Close())
	if err := f.Add(held()); err == nil {
		t.Error("a closed report takes more results")
	}
}

// TestFilesAnew: the report is of this run alone.
func TestFilesAnew(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{ResultsFile, SpansFile, "notes.txt"} {
		noError(t, os.WriteFile(filepath.Join(dir, name), []byte("of yesterday\n"), 0o644))
	}
	f, err := Create(dir)
	noError(t, err)
	noError(t, f.Close())
	if got := read(t, dir, ResultsFile); got != "" {
		t.Errorf("the results begin with %q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, SpansFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the spans of yesterday: %v", err)
	}
	if got := read(t, dir, "notes.txt"); got != "of yesterday\n" {
		t.Errorf("a file that is not the report's became %q", got)
	}
}

// TestUnwritable: one sentence, which says what to do. Root may write in every
// directory, so what is in the way is something else than permissions.
func TestUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	noError(t, os.WriteFile(file, nil, 0o644))
	taken := t.TempDir()
	noError(t, os.Mkdir(filepath.Join(taken, ResultsFile), 0o755))
	full := t.TempDir()
	noError(t, os.MkdirAll(filepath.Join(full, SpansFile, "more"), 0o755))
	for name, dir := range map[string]string{
		"a file": file, "below a file": filepath.Join(file, "report"), "not a place for files": "/proc/report",
		"results are a directory": taken, "spans are a directory": full,
	} {
		_, err := Create(dir)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if s := err.Error(); !strings.HasPrefix(s, "create the report (--out names another directory): ") ||
			!strings.Contains(s, filepath.Dir(dir)) || strings.Contains(s, "\n") {
			t.Errorf("%s: %q", name, s)
		}
	}
}
