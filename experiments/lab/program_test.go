package lab

import (
	"errors"
	"os"
	"testing"
)

var doubled = DefineProgram("double", func(n int) (struct{ Twice, PID int }, error) {
	if n < 0 {
		return struct{ Twice, PID int }{}, errors.New("not below zero")
	}
	return struct{ Twice, PID int }{2 * n, os.Getpid()}, nil
})

// A program runs in the worker's process and brings its result, or its error.
func TestProgram(t *testing.T) {
	w := newWorker(t, newLab(t, Options{}), WorkerOptions{})
	r := must(doubled.Run(t.Context(), w, 21))(t)
	equal(t, "twice 21", r.Twice, 42)
	equal(t, "pid", r.PID, w.PID())
	if _, err := doubled.Run(t.Context(), w, -1); err == nil || err.Error() != "not below zero" {
		t.Errorf("the error is %v", err)
	}
}
