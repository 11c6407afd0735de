package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const greetingForm = "server %s client %s\n"

// greet writes the first bytes on an accepted connection. They always fit.
func greet(fd int) {
	unix.Write(fd, fmt.Appendf(nil, greetingForm, onWire(localAddr(fd)), onWire(peerAddr(fd))))
}

func readGreeting(fd int, until time.Time) (Greeting, *Refusal) {
	line, err := readLine(fd, until)
	if err != nil {
		return Greeting{}, refused("read", netip.AddrPort{}, err)
	}
	var server, client string
	if _, err := fmt.Sscanf(line, greetingForm, &server, &client); err != nil {
		return Greeting{}, &Refusal{Call: "read", Errno: syscall.EBADMSG}
	}
	var g Greeting
	g.Server, _ = netip.ParseAddrPort(server)
	g.Client, _ = netip.ParseAddrPort(client)
	return g, nil
}

// readLine reads one byte after the other, because what follows the line is
// not its own. ETIMEDOUT: nothing came in time; ENODATA: the peer has closed.
func readLine(fd int, until time.Time) (string, error) {
	var line strings.Builder
	one := make([]byte, 1)
	for {
		n, err := unix.Read(fd, one)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			if !ready(fd, unix.POLLIN, until) {
				return "", syscall.ETIMEDOUT
			}
		case err != nil:
			return "", err
		case n == 0:
			return "", syscall.ENODATA
		default:
			line.WriteByte(one[0])
			if one[0] == '\n' {
				return line.String(), nil
			}
		}
	}
}
