package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

var counterFiles = []struct {
	path string
	add  func(map[string]uint64, io.Reader) error
}{
	{"/proc/self/net/netstat", addNetstat},
	{"/proc/self/net/snmp", addNetstat},
	{"/proc/self/net/sockstat", addSockstat},
	{"/proc/self/net/sockstat6", addSockstat},          // absent without IPv6
	{"/proc/self/net/stat/nf_conntrack", addConntrack}, // absent without connection tracking
}

func (in *inside) counters(none) (map[string]uint64, error) {
	all := map[string]uint64{}
	for _, from := range counterFiles {
		file, err := os.Open(from.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the namespace's counters: %w", err)
		}
		err = from.add(all, file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("read the namespace's counters from %s: %w", from.path, err)
		}
	}
	return all, nil
}
