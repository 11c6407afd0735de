package main

import (
	"slices"
	"testing"

	"brink/collector/limits"
	"brink/loader"
)

// TestEveryLimitHasItsHooks ties the catalogue to the hook table: a limit whose
// hook has been renamed would never be polled, and never be missed.
func TestEveryLimitHasItsHooks(t *testing.T) {
	for l := range limits.All() {
		for _, name := range l.Entry().Hooks {
			if !slices.ContainsFunc(loader.Hooks(), func(h loader.Hook) bool { return h.Name == name }) {
				t.Errorf("%s is told by hook %q, which there is not", l, name)
			}
		}
	}
}
