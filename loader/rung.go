package loader

import "fmt"

// Rung is a way into the kernel. A lower number sees more for less.
type Rung int

// The rungs, best first. The zero value is the best one.
const (
	Fentry     Rung = iota // fentry, fexit: BPF trampolines, 5.5
	Kprobe                 // kprobe, kretprobe
	Tracepoint             // raw tracepoints, 4.17
	Poll                   // /proc and sock_diag, read again and again
	None                   // not seen at all
)

var rungNames = [...]string{"fentry", "kprobe", "tracepoint", "poll", "none"}

// String is the contract's word for the rung (evidence.mode).
func (r Rung) String() string { return rungNames[r] }

// ParseRung is the inverse of String; empty means the best rung.
func ParseRung(name string) (Rung, error) {
	if name == "" {
		return Fentry, nil
	}
	for r, n := range rungNames {
		if n == name {
			return Rung(r), nil
		}
	}
	return 0, fmt.Errorf("unknown rung %q: use fentry, kprobe, tracepoint, poll or none", name)
}
