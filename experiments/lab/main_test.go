package lab

import (
	"context"
	"net/netip"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Main()
	if os.Getenv(victimMark) != "" {
		victim()
	}
	os.Exit(m.Run())
}

// newLab makes a lab that ends with the test. Root can always make one, so for
// root a failure is a failure.
func newLab(t *testing.T, o Options) *Lab {
	t.Helper()
	l, err := New(deadline(t), o)
	if err != nil && os.Geteuid() != 0 {
		t.Skipf("left out, no private network namespace to be had: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, l.Close()) })
	return l
}

func newWorker(t *testing.T, l *Lab, o WorkerOptions) *Worker {
	t.Helper()
	return must(l.Worker(deadline(t), o))(t)
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
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

// eventually tries for some seconds, for what the kernel finishes on its own time.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not so after 10 s", what)
		}
	}
}

// bothFamilies runs the test in one lab with the loopback address of IPv4, then of IPv6.
func bothFamilies(t *testing.T, test func(*testing.T, *Lab, netip.Addr)) {
	for name, loopback := range map[string]string{"IPv4": "127.0.0.1", "IPv6": "::1"} {
		t.Run(name, func(t *testing.T) { test(t, newLab(t, Options{}), netip.MustParseAddr(loopback)) })
	}
}

func port(a netip.Addr, n uint16) netip.AddrPort { return netip.AddrPortFrom(a, n) }
