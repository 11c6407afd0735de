package experiments

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// The limits of the whole host are pushed on a machine made for it alone
// (Size.HostWide): the experiments that do so lower a setting, and put it back
// before they return, whatever happened.

// notHostWide is why such a leg ends with its prediction elsewhere.
func (b *Bench) notHostWide(setting string) error {
	if b.Size.HostWide {
		return nil
	}
	return skipf("%s counts for the whole host, which is not pushed to its limit: in a machine made for it, brink run --host-wide does", setting)
}

// hostSetting is a file below /proc/sys that holds one value for the whole host.
type hostSetting string

func (s hostSetting) path() string { return "/proc/sys/" + strings.ReplaceAll(string(s), ".", "/") }

// numbers are the setting's.
func (s hostSetting) numbers() (all []int, err error) {
	content, err := os.ReadFile(s.path())
	if err != nil {
		return nil, err
	}
	for word := range strings.FieldsSeq(string(content)) {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("%s is %q, not a number", s, content)
		}
		all = append(all, n)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s is empty", s)
	}
	return all, nil
}

// set changes the setting of this machine, and says how to put it back.
func (s hostSetting) set(b *Bench, value string) (back func() error, err error) {
	if err := b.notHostWide(string(s)); err != nil {
		return nil, err
	}
	before, err := os.ReadFile(s.path())
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.path(), []byte(value), 0); err != nil {
		return nil, fmt.Errorf("set the host's %s to %s: %w", s, value, err)
	}
	return func() error { return os.WriteFile(s.path(), before, 0) }, nil
}
