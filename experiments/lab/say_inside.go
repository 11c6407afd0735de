package lab

import (
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func (in *inside) say(s saying) (string, error) {
	fd, err := in.sockets.fd(s.Handle)
	if err != nil {
		return "", err
	}
	if _, err := unix.Write(fd, []byte(s.Line+"\n")); err != nil {
		return "", refused("write", netip.AddrPort{}, err)
	}
	line, err := readLine(fd, time.Now().Add(defaultPatience))
	if err != nil {
		return "", refused("read", netip.AddrPort{}, err)
	}
	return strings.TrimSuffix(line, "\n"), nil
}
