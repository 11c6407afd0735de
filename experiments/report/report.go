// Package report writes what a run found: lines for machines, a table for
// people, and the list of what can be run.
//
//	Result ─→ Files.Add ─→ DIR/results.jsonl, DIR/bind-matrix.txt
//	      └─→ Table         DIR/spans.otlp.jsonl (written by the OTLP sink)
package report

import (
	"bytes"
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
	MatrixFile  = "bind-matrix.txt" // only where an experiment has a matrix
)

// Files is a report being written.
type Files struct {
	dir     string
	results *os.File
}

// Create makes the directory and starts its files anew.
func Create(dir string) (*Files, error) {
	results, err := create(dir)
	if err != nil {
		return nil, fmt.Errorf("create the report (--out names another directory): %w", err)
	}
	return &Files{dir: dir, results: results}, nil
}

func create(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, name := range []string{SpansFile, MatrixFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return os.Create(filepath.Join(dir, ResultsFile))
}

// Add writes one result.
func (f *Files) Add(r experiments.Result) error {
	return errors.Join(WriteLine(f.results, r), f.addMatrix(r))
}

func (f *Files) addMatrix(r experiments.Result) error {
	if !hasMatrix(r) {
		return nil
	}
	var b bytes.Buffer
	Matrix(&b, r)
	MatrixWhole(&b, r)
	if err := os.WriteFile(filepath.Join(f.dir, MatrixFile), b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the matrix: %w", err)
	}
	return nil
}

// Close ends the report.
func (f *Files) Close() error { return f.results.Close() }

// WriteLine writes a result as one line of JSON.
func WriteLine(w io.Writer, r experiments.Result) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
