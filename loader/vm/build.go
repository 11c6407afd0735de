package vm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// BuildTest compiles a package's tests into a binary that runs in a guest:
// without cgo it needs no libraries there.
func BuildTest(ctx context.Context, pkg, out string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go test -c %s: %w: %s", pkg, err, out)
	}
	return nil
}
