package experiments

import (
	"context"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"brink/experiments/lab"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	lab.Main()
	os.Exit(m.Run())
}

// newBench is a lab with nothing on it yet. Root can always make one, so for
// root a failure is a failure.
func newBench(t *testing.T) *Bench {
	t.Helper()
	l, err := lab.New(deadline(t), lab.Options{})
	if err != nil && os.Geteuid() != 0 {
		t.Skipf("left out, no private network namespace to be had: %v", err)
	}
	noError(t, err)
	t.Cleanup(func() { noError(t, l.Close()) })
	return &Bench{Lab: l}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// must(f())(t) is f's value, or the end of the test.
func must[V any](v V, err error) func(*testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		noError(t, err)
		return v
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// isError wants an error that says what went wrong.
func isError(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("got error %v, want one with %q", err, says)
	}
}
