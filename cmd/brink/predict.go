package main

import (
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"os"
	"strings"

	"brink/experiments/theory"

	"github.com/urfave/cli/v2"
)

func predictCommand() *cli.Command {
	return &cli.Command{
		Name:  "predict",
		Usage: "how many TCP connections there can be: in theory, and on this host",
		Description: "Two halves. The theory is the ladder of answers for n machines with m ports each, and\n" +
			"what each answer overlooks. The host half turns every limit of this host into a number\n" +
			"of connections, by a formula with its inputs, and names the smallest; it opens nothing\n" +
			"and sends nothing. --machines and --ports ask for the theory alone, --to for the host\n" +
			"alone, towards one destination; without any of them, or with both kinds, both are told.\n\n" +
			"Without --machines there are 3, the fewest for which the first five answers differ;\n" +
			"without --ports there are 65,535, since no connection has port 0. The count with all\n" +
			"of IPv4's addresses and every number that fits a port field:\n\n" +
			"   brink predict --machines 2^32 --ports 2^16\n" +
			"   brink predict --to 192.0.2.7:443      how many more fit from here to there\n\n" +
			"A port that a program has bound, and then connected to some other destination, counts\n" +
			"as free: only the kernel knows that connect() passes over it.\n\n" +
			"With --json, the numbers of a theory line are decimal strings, as JSON's own numbers\n" +
			"lose digits above 2^53.",
		Flags: []cli.Flag{
			jsonFlag(),
			&cli.StringFlag{Name: "machines", Usage: "theory: `N` machines, as 4294967296 or 2^32"},
			&cli.StringFlag{Name: "ports", Usage: "theory: `M` ports on each machine, at most 65536"},
			&cli.StringFlag{Name: "to", Usage: "host: predict for connections to this `ADDRESS:PORT`; names are not looked up, but for localhost"},
		},
		Action: predict,
	}
}

// question is what predict is asked.
type question struct {
	theory          bool
	machines, ports *big.Int
	host            bool
	to              netip.AddrPort // zero: any destination
}

func predict(c *cli.Context) error {
	q, err := parseQuestion(c)
	if err != nil {
		return err
	}
	var bounds []bound
	var to target
	if q.host {
		if to, err = findTarget(q.to); err != nil {
			return err
		}
		if bounds, err = hostBounds(to); err != nil {
			return err
		}
		rank(bounds)
	}
	if c.Bool("json") {
		return predictJSON(os.Stdout, q, to, bounds)
	}
	predictText(os.Stdout, q, to, bounds)
	return nil
}

func predictJSON(w io.Writer, q question, to target, bounds []bound) error {
	if q.theory {
		if err := theoryJSON(w, q); err != nil {
			return err
		}
	}
	return boundsJSON(w, to, bounds)
}

func predictText(w io.Writer, q question, to target, bounds []bound) {
	if q.theory {
		theoryText(w, q)
	}
	if q.theory && q.host {
		fmt.Fprintln(w)
	}
	if q.host {
		boundsText(w, to, bounds)
	}
}

func parseQuestion(c *cli.Context) (q question, err error) {
	if c.Args().Present() {
		return q, usagef("predict takes no argument %q: a destination is given with --to", c.Args().First())
	}
	theoryAsked := c.IsSet("machines") || c.IsSet("ports")
	q.theory = theoryAsked || !c.IsSet("to")
	q.host = c.IsSet("to") || !theoryAsked
	if q.machines, err = parseMachines(c); err != nil {
		return q, err
	}
	if q.ports, err = parsePorts(c); err != nil {
		return q, err
	}
	if c.IsSet("to") {
		q.to, err = parseDestination(c.String("to"))
	}
	return q, err
}

// fewestMachines is the least n for which m, ⌊mn/2⌋, m(n−1), mn−2 and m²n² are
// five different numbers; for two machines the first three are the same.
const fewestMachines = 3

func parseMachines(c *cli.Context) (*big.Int, error) {
	if !c.IsSet("machines") {
		return big.NewInt(fewestMachines), nil
	}
	n, ok := parseCount(c.String("machines"))
	switch {
	case !ok || n.Sign() <= 0:
		return nil, usagef("--machines %s: give a whole number from 1 on, such as 2 or 2^32", c.String("machines"))
	case n.Cmp(new(big.Int).Lsh(big.NewInt(1), 128)) > 0:
		return nil, usagef("--machines %s: even IPv6 has no more than 2^128 addresses", c.String("machines"))
	}
	return n, nil
}

// parsePorts refuses what no port field can hold; 65536 is let pass for the
// sake of the round number, port 0 with it.
func parsePorts(c *cli.Context) (*big.Int, error) {
	if !c.IsSet("ports") {
		return big.NewInt(theory.UsablePorts), nil
	}
	m, ok := parseCount(c.String("ports"))
	switch {
	case !ok || m.Sign() <= 0:
		return nil, usagef("--ports %s: give a whole number from 1 to %d", c.String("ports"), theory.MostPorts)
	case m.Cmp(big.NewInt(theory.MostPorts)) > 0:
		return nil, usagef("--ports %s: a port is a number of 16 bits, so no machine has more than %d", c.String("ports"), theory.MostPorts)
	}
	return m, nil
}

// parseCount reads a decimal number, or a power such as 2^32.
func parseCount(s string) (*big.Int, bool) {
	base, exponent, isPower := strings.Cut(s, "^")
	n, ok := parseDigits(base)
	if !ok || !isPower {
		return n, ok
	}
	e, ok := parseDigits(exponent)
	if !ok || e.Cmp(big.NewInt(1024)) > 0 { // far above every maximum, and soon computed
		return nil, false
	}
	return n.Exp(n, e, nil), true
}

// parseDigits reads digits alone, and at most so many as the largest count has.
func parseDigits(s string) (*big.Int, bool) {
	if s == "" || len(s) > 64 || strings.Trim(s, "0123456789") != "" {
		return nil, false
	}
	return new(big.Int).SetString(s, 10)
}

// parseDestination takes what one connection can go to: no name, which may have
// several addresses, each with its own limit.
func parseDestination(s string) (netip.AddrPort, error) {
	given := s
	if port, ok := strings.CutPrefix(s, "localhost:"); ok {
		s = "127.0.0.1:" + port
	}
	to, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, usagef("--to %s: %s", given, whatIsWrong(s))
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	switch {
	case to.Port() == 0:
		return netip.AddrPort{}, usagef("--to %s: nothing listens on port 0: give a port from 1 to %d", given, theory.UsablePorts)
	case to.Addr().IsUnspecified() || to.Addr().IsMulticast():
		return netip.AddrPort{}, usagef("--to %s: give the address of one host, which %s is not", given, to.Addr())
	}
	return to, nil
}

// whatIsWrong says in a few words what an address with a port looks like.
func whatIsWrong(s string) string {
	host, found := s, false
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, found = s[:i], true
	}
	switch {
	case isAddress(s) && strings.Contains(s, ":"):
		return "an IPv6 address and its port are written as in [2001:db8::7]:443"
	case isAddress(s):
		return "the port is missing: write " + s + ":443"
	case found && isAddress(host):
		return fmt.Sprintf("the port is not a number from 1 to %d", theory.UsablePorts)
	}
	return "give ADDRESS:PORT, such as 192.0.2.7:443 or [2001:db8::7]:443; names are not looked up (getent ahosts NAME does)"
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return err == nil
}
