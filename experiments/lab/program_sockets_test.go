package lab

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

var keptListener = DefineSocketProgram("keep a listener", func(port uint16, keep func(fds ...int) Sockets) (Sockets, error) {
	fd, refusal := boundSocket(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), SocketOptions{})
	if refusal != nil {
		return Sockets{}, refusal
	}
	return keep(fd), unix.Listen(fd, 1)
})

// What a program keeps is the worker's: it outlives the program, and goes with
// the worker's other sockets.
func TestProgramKeepsSockets(t *testing.T) {
	l, ctx := newLab(t, Options{}), deadline(t)
	w := newWorker(t, l, WorkerOptions{})
	kept := must(keptListener.Run(ctx, w, 7000))(t)
	equal(t, "kept", kept.Count, 1)
	to := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:7000")}
	client := newWorker(t, l, WorkerOptions{})
	equal(t, "opened", must(client.Connect(ctx, ConnectOptions{To: to}))(t).Opened, 1)
	equal(t, "closed", must(w.CloseAll(ctx, CloseReset))(t), 1)
	equal(t, "errno", must(client.Connect(ctx, ConnectOptions{To: to}))(t).Errno, unix.ECONNREFUSED)
}
