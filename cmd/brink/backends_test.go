package main

import (
	"os"
	"testing"
)

// needBackends leaves a test out that builds and starts Jaeger, a Collector or
// Prometheus, unless BRINK_BACKENDS=1 asks for it. Where it is asked for, what is
// missing fails.
func needBackends(t *testing.T) {
	t.Helper()
	if os.Getenv("BRINK_BACKENDS") != "1" {
		t.Skip("starts real backends: set BRINK_BACKENDS=1, or run make test-backends")
	}
	if os.Geteuid() != 0 {
		t.Fatal("tracing the kernel takes root")
	}
}

func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
