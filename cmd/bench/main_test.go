package main

import (
	"os"
	"testing"
)

// TestMain lets the test binary be started again as a load, as bench is.
func TestMain(m *testing.M) {
	beOther()
	os.Exit(m.Run())
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("left out for a plain user: private network namespaces")
	}
}
