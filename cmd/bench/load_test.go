package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The kernel's counters of the load's namespace say what the load says.
func TestLoadsMakeWhatTheySay(t *testing.T) {
	needRoot(t)
	const warm, count = 10, 300
	for _, c := range []struct {
		kind                           string
		established, failed, timewaits int
	}{
		{timeWait, warm + count, 0, warm + count},
		{reset, warm + count, 0, 0},
		{refused, 0, warm + count, 0},
	} {
		t.Run(c.kind, func(t *testing.T) {
			p, err := load{name: c.kind, kind: c.kind, cpus: 1}.prepare(t.Context(), amount{warm: warm, count: count})
			noError(t, err)
			defer p.close()
			done, err := p.run()
			noError(t, err)
			equal(t, "connections", done.Connections, count)
			if done.CPU <= 0 || done.Wall < done.CPU/2 {
				t.Errorf("%v on the clock, %v of CPU", done.Wall, done.CPU)
			}
			pid := p.workers[0].cmd.Process.Pid
			tcp := readSNMP(t, pid)
			equal(t, "ActiveOpens", tcp["ActiveOpens"], warm+count)
			equal(t, "PassiveOpens", tcp["PassiveOpens"], c.established)
			equal(t, "AttemptFails", tcp["AttemptFails"], c.failed)
			equal(t, "timewait sockets", readSockstat(t, pid, "tw"), c.timewaits)
			equal(t, "ends to tell", p.load.endpoints(warm+count), 2*c.established+c.failed)
		})
	}
}

func TestLoadEndsByTime(t *testing.T) {
	needRoot(t)
	p, err := load{name: reset, kind: reset, cpus: 1}.prepare(t.Context(), amount{during: 1})
	noError(t, err)
	defer p.close()
	done, err := p.run()
	noError(t, err)
	equal(t, "connections made", readSNMP(t, p.workers[0].cmd.Process.Pid)["PassiveOpens"], done.Connections)
}

func TestCrowdHoldsItsConnections(t *testing.T) {
	needRoot(t)
	c := crowd{Processes: 3, Connections: 20}
	w, err := gather(t.Context(), c)
	noError(t, err)
	defer w.close()
	equal(t, "sockets", readSockstat(t, w.cmd.Process.Pid, "inuse"), 3*(2*20+1))
}

// readSNMP reads the Tcp line of /proc/PID/net/snmp.
func readSNMP(t *testing.T, pid int) map[string]int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/snmp", pid))
	noError(t, err)
	var lines [][]string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "Tcp:") {
			lines = append(lines, strings.Fields(line))
		}
	}
	counters := map[string]int{}
	for i, name := range lines[0] {
		counters[name], _ = strconv.Atoi(lines[1][i])
	}
	return counters
}

// readSockstat reads one number of the TCP line of /proc/PID/net/sockstat.
func readSockstat(t *testing.T, pid int, name string) int {
	t.Helper()
	file, err := os.Open(fmt.Sprintf("/proc/%d/net/sockstat", pid))
	noError(t, err)
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		for i, field := range fields {
			if fields[0] == "TCP:" && field == name {
				n, err := strconv.Atoi(fields[i+1])
				noError(t, err)
				return n
			}
		}
	}
	t.Fatalf("no %s in sockstat", name)
	return 0
}
