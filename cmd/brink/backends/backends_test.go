package backends_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestNotInBrink: what tests need of backends, and of Kubernetes' types, is not in
// the binary that is shipped.
func TestNotInBrink(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "brink/cmd/brink")
	var stderr strings.Builder
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 100 {
		t.Fatalf("go list says %q", out)
	}
	for _, name := range packages {
		for _, unwanted := range []string{"testing", "k8s.io/", "sigs.k8s.io/", "brink/cmd/brink/backends", "brink/loader/vm"} {
			if strings.HasPrefix(name, unwanted) {
				t.Errorf("brink has %s in it", name)
			}
		}
	}
}
