package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"brink/experiments/lab"
)

// An actor is this test binary as an ordinary network program, in a process of
// its own: it uses Go's net package as anybody would, and prints what it did.
//
//	connection LOCAL PEER    one that it closed actively, with echo
//	orphan LOCAL PEER        one that it closed while the peer had not
//	refused PEER             a connect that was refused
//	conflict LOCAL           a bind to its own listener's port
func act(address string) error {
	listener, err := listen(net.JoinHostPort(address, "0"))
	if err != nil {
		return err
	}
	held = append(held, listener)
	served := make(chan error, 1)
	for _, talk := range []func(net.Addr) error{converse, abandon} {
		go func() { served <- serveOne(listener) }()
		if err := talk(listener.Addr()); err != nil {
			return err
		}
		if err := <-served; err != nil {
			return err
		}
	}
	if err := beRefused(address); err != nil {
		return err
	}
	_, err = listen(listener.Addr().String())
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("bound a taken port: %w", err)
	}
	fmt.Println("conflict", listener.Addr())
	return nil
}

// held are the listeners of conflicts, which are there until the actor is told to go.
var held []net.Listener

// actorIsDone is the last line of an actor that did all it was to do. It goes when
// its standard input ends.
const actorIsDone = "done"

// listen is net.Listen without Multipath TCP, which Go tries first and then
// again without: two refused binds instead of one.
func listen(address string) (net.Listener, error) {
	var c net.ListenConfig
	c.SetMultipathTCP(false)
	return c.Listen(context.Background(), "tcp", address)
}

func serveOne(l net.Listener) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = io.Copy(c, c)
	return err
}

// converse says 5 bytes, hears them, and closes first.
func converse(to net.Addr) error {
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Println("connection", c.LocalAddr(), c.RemoteAddr())
	if _, err := io.WriteString(c, "hello"); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	heard, err := io.ReadAll(c)
	if err == nil && string(heard) != "hello" {
		err = fmt.Errorf("heard %q", heard)
	}
	return err
}

// abandon closes at once, as most programs do: its end becomes an orphan in
// FIN_WAIT2 until the server closes too.
func abandon(to net.Addr) error {
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		return err
	}
	fmt.Println("orphan", c.LocalAddr(), c.RemoteAddr())
	return c.Close()
}

// beRefused connects to a port that was free a moment ago.
func beRefused(address string) error {
	l, err := listen(net.JoinHostPort(address, "0"))
	if err != nil {
		return err
	}
	free := l.Addr().String()
	l.Close()
	if _, err = net.Dial("tcp", free); !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("connect to a free port: %w", err)
	}
	fmt.Println("refused", free)
	return nil
}

// actIfAsked is called by TestMain.
func actIfAsked() {
	addresses := os.Getenv("BRINK_TEST_ACT")
	if addresses == "" {
		return
	}
	if os.Getenv("BRINK_TEST_LOOPBACK") != "" {
		if err := lab.LoopbackUp(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	for _, address := range strings.Split(addresses, ",") {
		if err := act(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fmt.Println(actorIsDone)
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}
