package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func shell(script string) tracer {
	return tracer{name: "a script", args: []string{"/bin/sh", "-c", script}, attached: "here we are"}
}

func TestTracerIsWaitedForAndStopped(t *testing.T) {
	at, err := startTracer(t.Context(), shell(`trap 'echo bye; exit' INT; echo not yet >&2; echo here we are >&2; while :; do sleep 0.05; done`), anyCPU)
	noError(t, err)
	defer at.close()
	if used := at.cpuTime(); used <= 0 {
		t.Errorf("it has used %v", used)
	}
	noError(t, at.stop())
	text, err := os.ReadFile(at.output)
	noError(t, err)
	equal(t, "output", string(text), "bye\n")
}

func TestTracerThatFailsSaysWhy(t *testing.T) {
	_, err := startTracer(t.Context(), shell(`echo no such hook >&2; exit 3`), anyCPU)
	if err == nil || !strings.Contains(err.Error(), "no such hook") {
		t.Errorf("got %v", err)
	}
}

func TestTracerIsGivenUpWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	mark := filepath.Join(t.TempDir(), "mark")
	go func() {
		for {
			if _, err := os.Stat(mark); err == nil {
				cancel()
				return
			}
		}
	}()
	_, err := startTracer(ctx, shell(`touch `+mark+`; while :; do sleep 0.05; done`), anyCPU)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTracerIsPinned(t *testing.T) {
	at, err := startTracer(t.Context(), shell(`grep Cpus_allowed_list /proc/self/status; echo here we are >&2; trap exit INT; while :; do sleep 0.05; done`), 0)
	noError(t, err)
	defer at.close()
	noError(t, at.stop())
	text, err := os.ReadFile(at.output)
	noError(t, err)
	equal(t, "where it may run", string(text), "Cpus_allowed_list:\t0\n")
}
