package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"brink/collector/limits"
	"brink/collector/sockdiag"
	"brink/experiments/theory"
)

// facts are what the bounds are computed from.
type facts struct {
	target
	*limits.Settings // of the network namespace that brink is in

	ports               theory.Ports
	towards             limits.Use    // of them, by connections to the target
	timestamps          bool          // without them no timewait socket is reused
	reuseDelay          time.Duration // that tcp_tw_reuse wants
	receiveMax, sendMax uint64        // the largest buffers

	caller    limits.Reading // file descriptors of the process that called brink
	nrOpen    uint64
	memory    memoryCost
	available uint64 // bytes
	host      []limits.Reading
}

// hostBounds reads every limit of this host and makes connections of it.
func hostBounds(to target) ([]bound, error) {
	f := facts{target: to, memory: readMemoryCost(to.to.Addr())}
	for _, read := range []func() error{f.readNamespace, f.readSysctls, f.readCaller} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	var err error
	if f.available, err = memAvailable(); err != nil {
		return nil, err
	}
	f.host = new(limits.Reader).Read().Readings
	return append(f.standing(), f.others()...), nil
}

func (f *facts) readNamespace() (err error) {
	if f.Settings, err = limits.ReadSettings(""); err != nil {
		return err
	}
	sockets, err := sockdiag.Dump(sockdiag.Query{})
	if err != nil {
		return err
	}
	f.towards = limits.CountPorts(f.Ports, sockets).Towards(f.source, f.to)
	size := f.Ports.Size()
	f.ports = theory.Ports{
		Low: int(f.Ports.Low), High: int(f.Ports.High),
		Bound:     size - f.towards.Max,
		EndsTaken: f.isTaken(f.Ports.Low, sockets) && f.isTaken(f.Ports.High, sockets),
	}
	f.ports.Reserved = f.ports.Size() - size
	return nil
}

// isTaken reports whether connect() can never have a port: it is reserved, or a
// socket that listens, or is bound and nothing else, holds it.
func (f *facts) isTaken(port uint16, sockets []sockdiag.Socket) bool {
	alone := limits.PortRange{Low: port, High: port, Reserved: f.Ports.Reserved}
	return limits.CountPorts(&alone, sockets).Towards(f.source, f.to).Max == 0
}

func (f *facts) readSysctls() error {
	for _, s := range []struct {
		name    string
		index   int
		into    *uint64
		without uint64 // where the kernel has no such setting
	}{
		{"fs/nr_open", 0, &f.nrOpen, 1 << 20},
		{"net/ipv4/tcp_rmem", 2, &f.receiveMax, 0},
		{"net/ipv4/tcp_wmem", 2, &f.sendMax, 0},
	} {
		if err := readNumber(s.name, s.index, s.without, s.into); err != nil {
			return err
		}
	}
	var timestamps, delay uint64
	err := readNumber("net/ipv4/tcp_timestamps", 0, 1, &timestamps)
	f.timestamps = timestamps != 0
	// before 6.14 it is a constant
	err = errors.Join(err, readNumber("net/ipv4/tcp_tw_reuse_delay", 0, 1000, &delay))
	f.reuseDelay = time.Duration(delay) * time.Millisecond
	return err
}

// readNumber takes one of the numbers of a setting.
func readNumber(name string, index int, without uint64, into *uint64) error {
	content, err := os.ReadFile("/proc/sys/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		*into = without
		return nil
	}
	if err != nil {
		return err
	}
	fields := strings.Fields(string(content))
	if index >= len(fields) {
		return fmt.Errorf("/proc/sys/%s is %q", name, content)
	}
	*into, err = strconv.ParseUint(fields[index], 10, 64)
	return err
}

// readCaller looks at the process that called brink. Where that cannot be seen,
// brink's own limits stand for it, with the soft one raised by Go.
func (f *facts) readCaller() (err error) {
	if f.caller, err = limits.Descriptors(uint32(os.Getppid())); err != nil {
		f.caller, err = limits.Descriptors(uint32(os.Getpid()))
	}
	return err
}

// hostWide are the readings of a limit that hold for every process, or for all
// of this user.
func (f *facts) hostWide(l limits.Limit) (list []limits.Reading) {
	for _, r := range f.host {
		mine := r.UID != 0 && int(r.UID) == os.Getuid()
		if r.Limit == l && (r.HostWide() || mine) {
			list = append(list, r)
		}
	}
	return list
}
