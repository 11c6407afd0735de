package ledger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func fixture(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestParse(t *testing.T) {
	for kernel, want := range map[string]Counters{
		"6.18": {Tw: 7, TW: 12, TWKilled: 5, TWRecycled: 1, TCPTimeWaitOverflow: 4},
		"5.10": {Tw: 3, TW: 1, TWKilled: 0, TWRecycled: 2, TCPTimeWaitOverflow: 0},
	} {
		var c Counters
		if err := c.parseNetstat(fixture(t, "netstat-"+kernel)); err != nil {
			t.Error(err)
		}
		if err := c.parseSockstat(fixture(t, "sockstat-"+kernel)); err != nil {
			t.Error(err)
		}
		if c != want {
			t.Errorf("%s: %+v", kernel, c)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, netstat := range []string{
		"", "TcpExt:\n", "TcpExt: TW\n", "TcpExt: TW\nTcpExt: 1\n",
		"TcpExt: TW TWRecycled TWKilled TCPTimeWaitOverflow\nTcpExt: 1 2 3\n",
		"TcpExt: TW TWRecycled TWKilled TCPTimeWaitOverflow\nTcpExt: 1 2 3 x\n",
		"IpExt: TW TWRecycled TWKilled TCPTimeWaitOverflow\nIpExt: 1 2 3 4\n",
	} {
		var c Counters
		if c.parseNetstat(netstat) == nil {
			t.Errorf("%q gave %+v", netstat, c)
		}
	}
	for _, sockstat := range []string{"", "TCP: inuse 5\n", "TCP: tw\n", "TCP: tw x\n", "TCP6: tw 3\n"} {
		var c Counters
		if c.parseSockstat(sockstat) == nil {
			t.Errorf("%q gave %+v", sockstat, c)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(fixture(f, "netstat-6.18"))
	f.Add(fixture(f, "sockstat-6.18"))
	f.Add("TcpExt: TW TW\nTcpExt: 1\n")
	f.Fuzz(func(t *testing.T, content string) {
		var c Counters
		if c.parseNetstat(content) == nil && !strings.Contains(content, "TcpExt:") {
			t.Error("read what is not there")
		}
		if c.parseSockstat(content) == nil && !strings.Contains(content, "TCP:") {
			t.Error("read what is not there")
		}
	})
}

// TestThisKernel: the files are as expected, and what TW counts is known.
func TestThisKernel(t *testing.T) {
	var c Counters
	if err := c.read(); err != nil {
		t.Error(err)
	}
	if _, err := CountsEntries(); err != nil {
		t.Error(err)
	}
}
