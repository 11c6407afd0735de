package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"brink/collector/diagnosis"
	"brink/collector/sockdiag"

	"github.com/urfave/cli/v2"
)

// whySubject is what a diagnosis is asked of: one of the three is set.
type whySubject struct {
	port uint16
	pid  uint32
	to   netip.AddrPort
	// bare is a number below 65536 without a word before it, which may be either.
	bare bool
}

const whyForms = "give a PORT (8080 or port:8080), a process (pid:1234) or an ADDRESS:PORT (192.0.2.7:443, [2001:db8::7]:443)"

// parseWhy reads the argument as it is written; what a bare number is, the host
// decides: see whyUnderstand.
func parseWhy(s string) (whySubject, error) {
	if digits, ok := strings.CutPrefix(s, "port:"); ok {
		return whyPort(s, digits)
	}
	if digits, ok := strings.CutPrefix(s, "pid:"); ok {
		return whyPID(s, digits)
	}
	for _, wildcard := range []string{":", "*:", "0.0.0.0:", "[::]:"} { // as in "bind: address already in use"
		if digits, ok := strings.CutPrefix(s, wildcard); ok && isDigits(digits) {
			return whyPort(s, digits)
		}
	}
	if !isDigits(s) {
		return whyDestination(s)
	}
	if n, err := strconv.ParseUint(s, 10, 32); err == nil && n > 65535 {
		return whyPID(s, s)
	}
	q, err := whyPort(s, s)
	q.bare = true
	return q, err
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func whyPort(given, digits string) (whySubject, error) {
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return whySubject{}, usagef("%s: a port is a number from 1 to 65535, and a pid one below %d", given, 1<<22+1)
	}
	return whySubject{port: uint16(n)}, nil
}

// whyPID: pid_max is at most 2^22 (PID_MAX_LIMIT).
func whyPID(given, digits string) (whySubject, error) {
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n == 0 || n > 1<<22 {
		return whySubject{}, usagef("%s: a pid is a number from 1 to %d", given, 1<<22)
	}
	return whySubject{pid: uint32(n)}, nil
}

func whyDestination(s string) (whySubject, error) {
	given := s
	if port, ok := strings.CutPrefix(s, "localhost:"); ok {
		s = "127.0.0.1:" + port
	}
	to, err := netip.ParseAddrPort(s)
	if err != nil {
		return whySubject{}, usagef("%s: %s", given, whyWrong(s))
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	switch {
	case to.Port() == 0:
		return whySubject{}, usagef("%s: nothing listens on port 0: give a port from 1 to 65535", given)
	case to.Addr().IsUnspecified() || to.Addr().IsMulticast():
		return whySubject{}, usagef("%s: give the address of one host, which %s is not", given, to.Addr())
	}
	return whySubject{to: to}, nil
}

func whyWrong(s string) string {
	if host, _, found := strings.Cut(s, ":"); isAddress(s) || found && (isAddress(host) || strings.HasPrefix(s, "[")) {
		return whatIsWrong(s)
	}
	return whyForms + "; names are not looked up (getent ahosts NAME does)"
}

// whyNamespace is where to look: --netns, or where brink is.
func whyNamespace(c *cli.Context) (diagnosis.Namespace, error) {
	given := c.String("netns")
	if given == "" {
		return diagnosis.Own(), nil
	}
	netns, err := parseNetns(given)
	if err != nil {
		return diagnosis.Namespace{}, err
	}
	n := diagnosis.Namespace{Netns: netns, Path: given}
	if _, err := strconv.ParseUint(given, 10, 32); err == nil || strings.HasPrefix(given, "pid:") {
		n.Path = sockdiag.NetnsPath(netns, 0)
	}
	if n.Path == "" {
		return n, fmt.Errorf("--netns %s: no process that can be seen lives in that network namespace: give a path to it, such as /run/netns/NAME", given)
	}
	return n, nil
}

// whyUnderstand decides what a bare number is: a port that some socket has; else
// a process; else a port that nobody has. It says so where it could be both.
func whyUnderstand(q whySubject, n diagnosis.Namespace) (whySubject, string) {
	if !q.bare {
		return q, ""
	}
	number := uint32(q.port)
	status, err := diagnosis.ReadStatus(number)
	if err != nil {
		return q, ""
	}
	process := fmt.Sprintf("%d is a process as well, %s", number, status.Name)
	if diagnosis.PortInUse(n, q.port) {
		return q, fmt.Sprintf("%d is read as a port, since sockets have it. %s: brink why pid:%d looks at that.", number, process, number)
	}
	return whySubject{pid: number}, fmt.Sprintf("%d is read as a process, since no socket in this network namespace has such a port: brink why port:%d looks at the port.", number, number)
}
