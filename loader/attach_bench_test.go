package loader

import (
	"os"
	"testing"
)

// BenchmarkAttach is what brink's start costs: all hooks attached and detached.
func BenchmarkAttach(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("needs root")
	}
	for b.Loop() {
		t, err := Attach(Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := t.Blocked(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		t.Close()
		b.StartTimer()
	}
}
