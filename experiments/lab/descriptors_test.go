package lab

import (
	"net/netip"
	"syscall"
	"testing"
	"time"
)

func TestDescriptorsRunOut(t *testing.T) {
	ctx, w := deadline(t), newWorker(t, newLab(t, Options{}), WorkerOptions{NoFile: 64})
	before := must(w.FreeDescriptors(ctx))(t)
	equal(t, "limit", before.Limit, 64)
	u := must(w.OpenSocketsUntilRefused(ctx))(t)
	equal(t, "sockets", uint64(u.Sockets.Count), 64-before.Open)
	equal(t, "errno", u.Refusal.Errno, syscall.EMFILE)
	equal(t, "call", u.Refusal.Call, "socket")
	equal(t, "free", must(w.FreeDescriptors(ctx))(t).Free(), 0)
	must(w.CloseSockets(ctx, u.Sockets, CloseNormally))(t)
	equal(t, "descriptors", must(w.FreeDescriptors(ctx))(t), before)
}

func TestAcceptWithoutDescriptors(t *testing.T) {
	bothFamilies(t, func(t *testing.T, l *Lab, loopback netip.Addr) {
		ctx := deadline(t)
		server, client := newWorker(t, l, WorkerOptions{NoFile: 64}), newWorker(t, l, WorkerOptions{})
		byHand := must(server.Listen(ctx, ListenOptions{Addr: port(loopback, 0)}))(t)
		free := int(must(server.FreeDescriptors(ctx))(t).Free())
		c := must(client.Connect(ctx, ConnectOptions{To: []netip.AddrPort{byHand.Addr}, Count: 100}))(t)
		equal(t, "opened", c.Opened, 100)
		a := must(server.AcceptN(ctx, byHand.Handle, AcceptOptions{Count: 100}))(t)
		equal(t, "accepted", a.Accepted, free)
		equal(t, "errno", a.Errno, syscall.EMFILE)
		must(server.CloseAll(ctx, CloseReset))(t)

		s := must(server.Listen(ctx, ListenOptions{Addr: port(loopback, 0), Accept: true}))(t)
		free = int(must(server.FreeDescriptors(ctx))(t).Free())
		must(client.Connect(ctx, ConnectOptions{To: []netip.AddrPort{s.Addr}, Count: 100}))(t)
		var seen Accepted
		eventually(t, "EMFILE in the background", func() bool {
			seen = must(server.Accepted(ctx, s.Handle, false))(t)
			return seen.Errnos[syscall.EMFILE] > 0
		})
		equal(t, "accepted in the background", seen.Open, free)
		time.Sleep(20 * time.Millisecond)
		refusals := must(server.Accepted(ctx, s.Handle, false))(t).Errnos[syscall.EMFILE]
		if refusals > 100 {
			t.Errorf("%d refusals for 100 connections: the acceptor spins", refusals)
		}
		equal(t, "closed", must(server.CloseAccepted(ctx, s.Handle, CloseNormally))(t), free)
		eventually(t, "the rest accepted", func() bool {
			return must(server.Accepted(ctx, s.Handle, false))(t).Count > free
		})
	})
}

func TestNoFileAboveAllowed(t *testing.T) {
	_, err := newLab(t, Options{}).Worker(deadline(t), WorkerOptions{NoFile: 1 << 40})
	wantErrno(t, err, "EPERM")
}
