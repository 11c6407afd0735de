package lab

import (
	"net/netip"
	"testing"
)

// What is written fills the receiver's buffer and the sender's, and reading
// nothing keeps it there.
func TestFill(t *testing.T) {
	bothFamilies(t, func(t *testing.T, l *Lab, loopback netip.Addr) {
		ctx := deadline(t)
		noError(t, l.SetSysctl(ctx, "net.ipv4.tcp_rmem", "4096 65536 65536"))
		noError(t, l.SetSysctl(ctx, "net.ipv4.tcp_wmem", "4096 131072 131072"))
		server, client := newWorker(t, l, WorkerOptions{}), newWorker(t, l, WorkerOptions{})
		s := must(server.Listen(ctx, ListenOptions{Addr: port(loopback, 0), Accept: true}))(t)
		c := must(client.Connect(ctx, ConnectOptions{To: []netip.AddrPort{s.Addr}, Count: 3}))(t)
		eventually(t, "accepted", func() bool { return must(server.Accepted(ctx, s.Handle, false))(t).Open == 3 })
		equal(t, "memory before", must(client.BufferMemory(ctx))(t).Send, 0)

		filled := must(client.Fill(ctx, c.Sockets))(t)
		if filled < 3*65536 {
			t.Errorf("%d bytes went into three buffers of 64 KiB and three of 128 KiB", filled)
		}
		equal(t, "filled again", must(client.Fill(ctx, c.Sockets))(t), 0)
		if m := must(client.BufferMemory(ctx))(t); m.Send < 3*65536 || m.Receive != 0 {
			t.Errorf("the sender has %+v", m)
		}
		if m := must(server.BufferMemory(ctx))(t); m.Receive < 3*32768 || m.Send != 0 || m.Total() < m.Receive {
			t.Errorf("the receiver has %+v", m)
		}
		must(server.CloseAll(ctx, CloseReset))(t)
		_, err := client.Fill(ctx, c.Sockets)
		wantErrno(t, err, "ECONNRESET")
	})
}
