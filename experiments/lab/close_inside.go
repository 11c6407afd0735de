package lab

import "golang.org/x/sys/unix"

func (how How) end(fd int) {
	switch how {
	case ShutdownWrite:
		unix.Shutdown(fd, unix.SHUT_WR)
		return
	case CloseReset:
		setLinger0(fd)
	}
	unix.Close(fd)
}

func (in *inside) closeSockets(c closing) (int, error) {
	open := in.sockets.open(c.Sockets, c.How != ShutdownWrite)
	for _, s := range open {
		if c.How != ShutdownWrite {
			in.acceptor.stop(s.handle, s.fd)
		}
		c.How.end(s.fd)
	}
	in.acceptor.revive()
	return len(open), nil
}

func (in *inside) closeAccepted(c closingAccepted) (int, error) {
	l, err := in.acceptor.listener(c.Listener)
	if err != nil {
		return 0, err
	}
	n := l.closeAll(c.How)
	in.acceptor.revive()
	return n, nil
}

func (in *inside) closeAll(how How) (int, error) {
	n := 0
	for _, l := range in.acceptor.all() {
		n += l.closeAll(how)
	}
	m, err := in.closeSockets(closing{Sockets: in.sockets.all(), How: how})
	return n + m, err
}
