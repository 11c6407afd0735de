package lab

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func (in *inside) connectBound(c connectingBound) (Connection, error) {
	fd, err := in.sockets.fd(c.Handle)
	if err != nil {
		return Connection{}, err
	}
	if c.Timeout == 0 {
		c.Timeout = defaultPatience
	}
	if refusal := startConnect(fd, c.To); refusal != nil {
		return Connection{}, refusal
	}
	if refusal := awaitConnect(fd, c.To, time.Now().Add(c.Timeout)); refusal != nil {
		disconnect(fd)
		return Connection{}, refusal
	}
	return Connection{Local: onWire(localAddr(fd)), Peer: onWire(peerAddr(fd))}, nil
}

// disconnect is connect(AF_UNSPEC): without it the next connect() on a socket
// whose handshake failed gives ECONNABORTED (__inet_stream_connect, SS_CONNECTING).
func disconnect(fd int) {
	unspecified := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&unspecified)), unsafe.Sizeof(unspecified))
}
