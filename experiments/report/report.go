// Package report writes what a run found: lines for machines, a table for
// people, and the list of what can be run.
//
//	Result ─→ Files.Add ─→ DIR/results.jsonl
//	      └─→ Table         DIR/spans.otlp.jsonl (written by the OTLP sink)
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"brink/experiments"
)

// The files of a report.
const (
	ResultsFile = "results.jsonl"
	SpansFile   = "spans.otlp.jsonl"
)

// Files is a report being written.
type Files struct {
	results *os.File
}

// Create makes the directory and starts its files anew.
func Create(dir string) (*Files, error) {
	results, err := create(dir)
	if err != nil {
		return nil, fmt.Errorf("create the report (--out names another directory): %w", err)
	}
	return &Files{results: results}, nil
}

func create(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(dir, SpansFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return os.Create(filepath.Join(dir, ResultsFile))
}

// Add writes one result.
func (f *Files) Add(r experiments.Result) error { return WriteLine(f.results, r) }

// Close ends the report.
func (f *Files) Close() error { return f.results.Close() }

// WriteLine writes a result as one line of JSON.
func WriteLine(w io.Writer, r experiments.Result) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
