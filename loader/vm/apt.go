package vm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// apt is a private apt: its own source, lists, cache and package state below
// one folder. The machine's lists stay as they are, its installed packages
// and pins do not colour the choice, and no root is needed.
type apt struct {
	dir string
}

// newAPT prepares a private apt below dir that knows one suite of one archive.
func newAPT(dir, suite string, from archive) (*apt, error) {
	a := &apt{dir: dir}
	for _, sub := range []string{"lists/partial", "cache/archives/partial", "debs"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("prepare apt folders: %w", err)
		}
	}
	// Packages alone: indexes of translations and icons would be most of the download.
	options := "arch=amd64 target=Packages"
	if from.SignedBy != "" {
		options += " signed-by=" + from.SignedBy
	}
	line := fmt.Sprintf("deb [%s] %s %s main\n", options, from.URI, suite)
	for name, text := range map[string]string{"sources.list": line, "status": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("prepare apt files: %w", err)
		}
	}
	return a, nil
}

func (a *apt) options() []string {
	settings := []string{
		"Dir::Etc::sourcelist=" + filepath.Join(a.dir, "sources.list"),
		"Dir::Etc::sourceparts=/dev/null",
		"Dir::Etc::preferences=/dev/null",
		"Dir::Etc::preferencesparts=/dev/null",
		"Dir::State::lists=" + filepath.Join(a.dir, "lists"),
		"Dir::State::status=" + filepath.Join(a.dir, "status"),
		"Dir::Cache=" + filepath.Join(a.dir, "cache"),
		"APT::Architecture=amd64",
		// apt's own user may not be able to enter the cache folder.
		"APT::Sandbox::User=",
		"Acquire::Retries=3",
	}
	var flags []string
	for _, setting := range settings {
		flags = append(flags, "-o", setting)
	}
	return flags
}

// run runs apt-get or apt-cache in the folder for packages.
func (a *apt) run(ctx context.Context, tool string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, tool, append(a.options(), args...)...)
	cmd.Dir = filepath.Join(a.dir, "debs")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", tool, args[0], err, lastLines(stderr.String(), 6))
	}
	return stdout.String(), nil
}

// update fetches the suite's index. An index that cannot be fetched or whose
// signature does not verify is an error here, where plain apt-get may warn
// and go on with nothing.
func (a *apt) update(ctx context.Context) error {
	_, err := a.run(ctx, "apt-get", "update", "-qq", "--error-on=any")
	return err
}

// download fetches packages, checked by apt against the signed index, and
// returns their files.
func (a *apt) download(ctx context.Context, packages []string) ([]string, error) {
	if _, err := a.run(ctx, "apt-get", append([]string{"download", "-qq"}, packages...)...); err != nil {
		return nil, err
	}
	debs, err := filepath.Glob(filepath.Join(a.dir, "debs", "*.deb"))
	if err == nil && len(debs) < len(packages) {
		err = fmt.Errorf("apt-get download: %d of %d packages arrived", len(debs), len(packages))
	}
	return debs, err
}

// kernelPackages follows the dependencies from the meta package to the
// packages that hold a kernel: until trixie one, from sid's 7.x on the image
// is a shell around linux-binary-…, linux-modules-… and linux-base-….
func (a *apt) kernelPackages(ctx context.Context) ([]string, error) {
	var found []string
	for queue := []string{metaPackage}; len(queue) > 0; queue = queue[1:] {
		text, err := a.run(ctx, "apt-cache", "show", "--no-all-versions", queue[0])
		if err != nil {
			return nil, err
		}
		for _, paragraph := range paragraphs(text) {
			for _, name := range kernelDepends(paragraph["depends"]) {
				if !slices.Contains(found, name) {
					found = append(found, name)
					queue = append(queue, name)
				}
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("package %s depends on no kernel image", metaPackage)
	}
	return found, nil
}

var kernelPackage = regexp.MustCompile(`^linux-(image|binary|modules|base)-[0-9]`)

// kernelDepends picks a kernel's own packages out of a Depends field.
func kernelDepends(depends string) []string {
	var names []string
	for _, clause := range strings.Split(depends, ",") {
		fields := strings.Fields(clause) // name, and perhaps "(= version)" or "| other"
		if len(fields) > 0 && kernelPackage.MatchString(fields[0]) {
			names = append(names, fields[0])
		}
	}
	return names
}

// lastLines is the end of a long text, for an error message.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
