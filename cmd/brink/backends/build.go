package backends

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"brink/loader/vm"
)

// jaegerBinary builds Jaeger from its module's folder, with its own go.sum: some
// of what it depends on is not in the checksum database, so that it cannot be
// built as a dependency. Its web page is not in the module; its API is.
func jaegerBinary(ctx context.Context) (string, error) {
	name := "jaeger-" + strings.TrimPrefix(jaegerModule, "github.com/jaegertracing/jaeger@")
	dir, err := cached(ctx, name, func(ctx context.Context, work, into string) error {
		out, err := run(ctx, work, "go", "mod", "download", "-json", jaegerModule)
		if err != nil {
			return err
		}
		var module struct{ Dir string }
		if err := json.Unmarshal([]byte(out), &module); err != nil {
			return err
		}
		sources := filepath.Join(work, "sources") // the module cache cannot be written to
		if err := os.CopyFS(sources, os.DirFS(module.Dir)); err != nil {
			return err
		}
		return build(ctx, sources, into, "./cmd/all-in-one")
	})
	return filepath.Join(dir, "all-in-one"), err
}

// CollectorBinary is a Collector of the components in collector/main.go.
func CollectorBinary(ctx context.Context) (string, error) {
	sources, err := collectorSources()
	if err != nil {
		return "", err
	}
	version, err := hash(sources, "main.go", "go.mod", "go.sum")
	if err != nil {
		return "", err
	}
	dir, err := cached(ctx, "collector-"+version, func(ctx context.Context, _, into string) error {
		return build(ctx, sources, into, ".")
	})
	return filepath.Join(dir, "collector"), err
}

func build(ctx context.Context, dir, into, pkg string) error {
	_, err := run(ctx, dir, "go", "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", into+"/", pkg)
	return err
}

// collectorSources is the module beside this file: go test runs in the folder of
// whatever package it tests, always with its sources.
func collectorSources() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "collector")
	if _, err := os.Stat(dir); !ok || err != nil {
		return "", fmt.Errorf("find the Collector's sources: %w (was this built with -trimpath?)", err)
	}
	return dir, nil
}

func hash(dir string, names ...string) (string, error) {
	sum := sha256.New()
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n%s", name, len(text), text)
	}
	return fmt.Sprintf("%.12x", sum.Sum(nil)[:6]), nil
}

// prometheusDir has prometheus and promtool.
func prometheusDir(ctx context.Context) (string, error) {
	dir, err := cached(ctx, "prometheus-"+prometheusSuite, func(ctx context.Context, work, into string) error {
		return vm.Unpack(ctx, work, into, prometheusSuite, "prometheus")
	})
	return filepath.Join(dir, "usr", "bin"), err
}

// Promtool is Prometheus' own parser and unit tester of rules.
func Promtool(ctx context.Context) (string, error) {
	dir, err := prometheusDir(ctx)
	return filepath.Join(dir, "promtool"), err
}
