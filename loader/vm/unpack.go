package vm

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Unpack downloads packages of a Debian suite and unpacks them to root; nothing
// is installed, and what they depend on is left out. work is a folder to do it in.
func Unpack(ctx context.Context, work, root, suite string, packages ...string) error {
	apt, err := newAPT(filepath.Join(work, "apt"), suite, machineArchive("/etc/apt"))
	if err != nil {
		return err
	}
	if err := apt.update(ctx); err != nil {
		return err
	}
	return apt.unpack(ctx, packages, root)
}

func (a *apt) unpack(ctx context.Context, packages []string, root string) error {
	debs, err := a.download(ctx, packages)
	if err != nil {
		return err
	}
	for _, deb := range debs {
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", deb, root).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", filepath.Base(deb), err, out)
		}
	}
	return nil
}
