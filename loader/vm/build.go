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
	return buildStatic(ctx, "test", "-c", "-o", out, pkg)
}

// BuildProgram does the same for a main package.
func BuildProgram(ctx context.Context, pkg, out string) error {
	return buildStatic(ctx, "build", "-o", out, pkg)
}

func buildStatic(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %v: %w: %s", args, err, out)
	}
	return nil
}
