package main

import (
	"errors"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// unbalanceMemory has one CPU charge TCP memory that another gives back: since 6.0
// the kernel's sum over them may stay below zero then (-9 pages, seen on 6.1), and
// must not be taken for more than tcp_mem allows.
func (s *scene) unbalanceMemory(t *testing.T) {
	inLab(t, s.lab, func() error {
		at := sockaddrOf(s.at(90))
		listener, err := tcpSocket(at)
		if err != nil {
			return err
		}
		defer unix.Close(listener)
		if err := errors.Join(unix.Bind(listener, at), unix.Listen(listener, 1)); err != nil {
			return err
		}
		for range 4 {
			if err := chargeAndGiveBack(listener, at); err != nil {
				return err
			}
		}
		return nil
	})
}

func tcpSocket(at unix.Sockaddr) (int, error) {
	if _, ok := at.(*unix.SockaddrInet6); ok {
		return unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	}
	return unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
}

// chargeAndGiveBack fills a connection on the first CPU and empties it on the last.
func chargeAndGiveBack(listener int, at unix.Sockaddr) error {
	client, err := tcpSocket(at)
	if err != nil {
		return err
	}
	defer unix.Close(client)
	if err := unix.Connect(client, at); err != nil {
		return err
	}
	server, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(server)
	for _, fd := range []int{client, server} {
		reset := &unix.Linger{Onoff: 1} // no TIME_WAIT: the lab has few ports
		if err := errors.Join(unix.SetNonblock(fd, true), unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, reset)); err != nil {
			return err
		}
	}
	buffer := make([]byte, 64<<10)
	return errors.Join(
		moveTo(0),
		untilEAGAIN(func() (int, error) { return unix.Write(client, buffer) }),
		moveTo(runtime.NumCPU()-1),
		untilEAGAIN(func() (int, error) { return unix.Read(server, buffer) }),
	)
}

func untilEAGAIN(do func() (int, error)) error {
	for {
		if _, err := do(); err == syscall.EAGAIN {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// moveTo has this thread run on one CPU.
func moveTo(cpu int) error {
	var one unix.CPUSet
	one.Set(cpu)
	return unix.SchedSetaffinity(0, &one)
}
