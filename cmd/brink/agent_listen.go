package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"brink/collector/diagnosis"
)

// agentListen listens for scrapes; nil for an empty address. A port that is taken
// is brink's own subject: the error names who has it.
func agentListen(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, usagef("--listen %s: give an address and a port, such as 127.0.0.1:9435", address)
	}
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("--listen %s: %s; stop it, or choose another port", address, whoHolds(port))
	}
	return nil, fmt.Errorf("--listen %s: %w", address, err)
}

// whoHolds says who has a port of this namespace, as brink why does.
func whoHolds(port string) string {
	number, err := strconv.ParseUint(port, 10, 16)
	if err == nil {
		if p, err := diagnosis.ReadPort(diagnosis.Own(), uint16(number)); err == nil {
			if verdict := p.Diagnose().Verdict; verdict != "" {
				return clause(verdict)
			}
		}
	}
	return "port " + port + " is in use"
}

// clause makes a sentence a part of another one.
func clause(sentence string) string { return strings.TrimSuffix(sentence, ".") }

// isLoopback reports whether only this host can reach the listener.
func isLoopback(l net.Listener) bool {
	address, err := netip.ParseAddrPort(l.Addr().String())
	return err == nil && address.Addr().IsLoopback()
}
