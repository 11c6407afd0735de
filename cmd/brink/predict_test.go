package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brink/collector/limits"
	"brink/experiments/theory"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestPredictWrongUse(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"--machines 0", "--machines 0: give a whole number from 1 on"},
		{"--machines -3", "--machines -3: give a whole number from 1 on"},
		{"--machines many", "give a whole number"},
		{"--machines 2^x", "give a whole number"},
		{"--machines 2^9999999999", "give a whole number"},
		{"--machines 2^129", "even IPv6 has no more than 2^128"},
		{"--ports 0", "--ports 0: give a whole number from 1 to 65536"},
		{"--ports 70000", "a port is a number of 16 bits"},
		{"--to 192.0.2.7", "the port is missing: write 192.0.2.7:443"},
		{"--to 192.0.2.7:0", "nothing listens on port 0"},
		{"--to 192.0.2.7:70000", "the port is not a number from 1 to 65535"},
		{"--to 2001:db8::7", "are written as in [2001:db8::7]:443"},
		{"--to [2001:db8::7]", "are written as in [2001:db8::7]:443"},
		{"--to example.com:443", "names are not looked up"},
		{"--to :443", "give ADDRESS:PORT"},
		{"--to 0.0.0.0:443", "give the address of one host"},
		{"--to [ff02::1]:443", "give the address of one host"},
		{"192.0.2.7:443", "a destination is given with --to"},
	} {
		cmd := brink(t, append([]string{"predict"}, strings.Fields(c.args)...)...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("predict %s ended with %d and said %q", c.args, code, &stderr)
		}
		if strings.Count(stderr.String(), "\n") != 1 || stdout.Len() > 0 {
			t.Errorf("predict %s said %q, and %q on standard output", c.args, &stderr, &stdout)
		}
	}
}

func TestParseDestination(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7:443":         "192.0.2.7:443",
		"[2001:db8::7]:443":     "[2001:db8::7]:443",
		"[::ffff:192.0.2.7]:80": "192.0.2.7:80",
		"[fe80::1%lo]:22":       "[fe80::1%lo]:22",
		"localhost:80":          "127.0.0.1:80",
	} {
		if got := must[netip.AddrPort](t)(parseDestination(in)); got.String() != want {
			t.Errorf("%s is taken for %s", in, got)
		}
	}
}

// TestPredictHalves: each half has its flags, and asks for itself alone.
func TestPredictHalves(t *testing.T) {
	for args, want := range map[string]string{
		"":                                "theory prediction",
		"--machines 2":                    "theory",
		"--ports 2":                       "theory",
		"--to localhost:80":               "prediction",
		"--to localhost:80 --machines 2":  "theory prediction",
		"--to=[::1]:80 --ports=2^16":      "theory prediction",
		"--machines 4294967296 --ports 1": "theory",
	} {
		cmd := brink(t, append([]string{"predict", "--json"}, strings.Fields(args)...)...)
		var kinds []string
		for line := range bytes.Lines(must[[]byte](t)(cmd.Output())) {
			var f fact
			if err := json.Unmarshal(line, &f); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			if kind := f.string("kind"); len(kinds) == 0 || kinds[len(kinds)-1] != kind {
				kinds = append(kinds, kind)
			}
		}
		if got := strings.Join(kinds, " "); got != want {
			t.Errorf("predict %s tells %s, not %s", args, got, want)
		}
	}
}

// TestPredictGolden compares what people and programs read, of the theory and
// of a host that is made up; the catalogue's words are not repeated there.
func TestPredictGolden(t *testing.T) {
	if os.Getpagesize() != 4096 {
		t.Skip("left out: the golden files are of a kernel with pages of 4 KiB")
	}
	whole := question{theory: true, machines: new(big.Int).Lsh(big.NewInt(1), 32), ports: big.NewInt(theory.MostPorts)}
	bounds := append(madeUp.standing(), madeUp.others()...)
	rank(bounds)
	for i := range bounds {
		bounds[i].lifts = "as the catalogue advises"
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"theory.txt":       func(b *bytes.Buffer) error { theoryText(b, whole); return nil },
		"theory.jsonl":     func(b *bytes.Buffer) error { return theoryJSON(b, whole) },
		"prediction.txt":   func(b *bytes.Buffer) error { boundsText(b, madeUp.target, bounds); return nil },
		"prediction.jsonl": func(b *bytes.Buffer) error { return boundsJSON(b, madeUp.target, bounds) },
	} {
		var got bytes.Buffer
		if err := write(&got); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "predict", name)
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want := must[[]byte](t)(os.ReadFile(path)); !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s (go test -update writes it anew):\n%s", path, &got)
		}
		for line := range strings.Lines(got.String()) {
			if strings.HasSuffix(name, ".txt") && strings.HasSuffix(line, " \n") {
				t.Errorf("%s has spaces at the end of %q", name, line)
			}
		}
	}
}

// madeUp has an odd range, no SYN cookies, few timewait sockets, tracked
// connections, and both ends of its connections.
var madeUp = facts{
	target: target{
		to: netip.MustParseAddrPort("127.0.0.1:80"), source: netip.MustParseAddr("127.0.0.1"), here: true,
	},
	Settings: &limits.Settings{
		Ports: must2(limits.ParsePortRange("40000 40098", "40010-40019")), Somaxconn: 4096, MaxSYNBacklog: 1024,
		MaxTimeWait: 50, TimeWaitReuse: 2, Sockstat: limits.Sockstat{TimeWait: 7}, Conntrack: 100, MaxConntrack: 262144,
	},
	ports:      theory.Ports{Low: 40000, High: 40098, Reserved: 10, Bound: 1},
	towards:    limits.Use{Used: 20, Max: 88, TimeWait: 7},
	timestamps: true, reuseDelay: time.Second, receiveMax: 6 << 20, sendMax: 4 << 20,
	caller: limits.Reading{PID: 77, Process: "bash", Max: 1024, Knob: "RLIMIT_NOFILE = 1024, hard limit 524288"},
	nrOpen: 1 << 20, memory: memoryCost{parts: objects(netip.IPv4Unspecified())}, available: 8 << 30,
	host: []limits.Reading{
		{Limit: limits.FileTable, Used: 1001, Max: 100000, Knob: "fs.file-max = 100000"},
		{Limit: limits.TCPMemory, Used: 5000, Max: 500000, Knob: "net.ipv4.tcp_mem = 1 2 500000"},
		{Limit: limits.Orphans, Used: 3, Max: 8192, Knob: "net.ipv4.tcp_max_orphans = 8192"},
		{Limit: limits.Threads, Used: 200, Max: 32768, Knob: "kernel.pid_max = 32768"},
		{Limit: limits.Threads, Used: 200, Max: 30000, Knob: "kernel.threads-max = 30000"},
		{Limit: limits.FileDescriptors, PID: 5, Used: 1, Max: 2},
	},
}

func must2(r *limits.PortRange, err error) *limits.PortRange {
	if err != nil {
		panic(err)
	}
	return r
}

// TestReusesTimeWait: tcp_twsk_unique's gate.
func TestReusesTimeWait(t *testing.T) {
	for _, c := range []struct {
		reuse      uint64
		to         string
		timestamps bool
		want       bool
	}{
		{0, "127.0.0.1:80", true, false},
		{1, "192.0.2.7:80", true, true},
		{1, "192.0.2.7:80", false, false},
		{2, "192.0.2.7:80", true, false},
		{2, "127.0.0.2:80", true, true},
		{2, "[::1]:80", true, true},
	} {
		f := facts{
			target: target{to: netip.MustParseAddrPort(c.to)}, Settings: &limits.Settings{TimeWaitReuse: c.reuse},
			timestamps: c.timestamps,
		}
		if got := f.reusesTimeWait(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestParseSlabinfo(t *testing.T) {
	sizes := parseSlabinfo(`slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
TCP                   78    130   2368   13    8 : tunables    0    0    0 : slabdata     10     10      0
empty                  0      0      8    0    1 : tunables    0    0    0 : slabdata      0      0      0
`)
	if want := uint64(8*os.Getpagesize()) / 13; sizes["TCP"] != want || len(sizes) != 1 {
		t.Errorf("%v, not TCP with %d", sizes, want)
	}
}
