package sockdiag

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// What a Finder remembers it believes only while it is so.
func TestFinderWalksAgain(t *testing.T) {
	var f Finder
	own := uint32(os.Getpid())
	first, _ := made{unix.AF_INET, unix.SOCK_STREAM, Options{}, any4}.open(t)
	one := inodeOf(t, first)
	equal(t, "owner", f.Owners(map[uint32]bool{one: true})[one].PID, own)
	second, _ := made{unix.AF_INET, unix.SOCK_STREAM, Options{}, any4}.open(t)
	two := inodeOf(t, second)
	both := f.Owners(map[uint32]bool{one: true, two: true})
	equal(t, "descriptor of the later one", both[two].FD, second)
	if err := unix.Dup2(second, first); err != nil {
		t.Fatal(err)
	}
	_, still := f.Owners(map[uint32]bool{one: true})[one]
	equal(t, "a socket that has gone has an owner", still, false)
}
