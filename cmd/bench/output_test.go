package main

import (
	"os"
	"path/filepath"
	"testing"
)

var twoWorkers = &prepared{ready: []work{{Netns: 4026532177, Port: 39253}, {Netns: 4026532180, Port: 40001}}}

func written(t *testing.T, text string) (name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "output")
	noError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

func TestBrinkLines(t *testing.T) {
	told, err := brinkLines(written(t, `{"kind":"connection","brink.role":"client","brink.netns":4026532177,"process.pid":1}
{"kind":"connection","brink.role":"server","brink.netns":4026532180}
{"kind":"connection","brink.role":"server","brink.netns":402653217}
{"kind":"time_wait","brink.netns":4026532177,"event":"enter"}
{"kind":"connect_failures","brink.failure":"refused","brink.count":8384,"brink.netns":4026532177}
{"kind":"connect_failures","brink.failure":"refused","brink.count":7,"brink.netns":1}
{"kind":"summary","events":1}
`), twoWorkers)
	noError(t, err)
	equal(t, "told", told, 2+8384)
}

func TestPeersLines(t *testing.T) {
	told, err := lifeLines(written(t, `PID     COMM             LADDR           LPORT RADDR           RPORT TX_KB RX_KB MS
15040   bench            127.0.0.1       34970 127.1.0.2       39253     0     0 0.03
15040   bench            127.1.0.2       39253 127.0.0.1       34970     0     0 0.02
15041   bench            127.1.0.2       39254 127.0.0.1       34970     0     0 0.02
15041   other            127.0.0.1       40001 127.0.0.2       40001     0     0 0.02
15041   bench            127.0.0.1       34971 127.1.0.9       40001     0     0 0.02
`), twoWorkers)
	noError(t, err)
	equal(t, "tcplife told", told, 3)
	told, err = endLines(written(t, `SKADDR           PID     COMM       LADDR           LPORT RADDR           RPORT OLDSTATE    -> NEWSTATE    MS
ffff8bf400000000 15040   bench      127.0.0.1       34970 127.1.0.2       39253 SYN_SENT    -> ESTABLISHED 0.01
ffff8bf400000000 15040   bench      127.0.0.1       34970 127.1.0.2       39253 FIN_WAIT2   -> CLOSE       0.01
ffff8bf400000000 15040   bench      127.0.0.1       34970 127.1.0.2       39252 FIN_WAIT2   -> CLOSE       0.01
`), twoWorkers)
	noError(t, err)
	equal(t, "tcpstates told", told, 1)
	told, err = closeLines(written(t, `T PID    COMM             IP SADDR            DADDR            SPORT  DPORT
C 15040  bench            4  127.0.0.1        127.1.0.2        34970  39253
X 15040  bench            4  127.0.0.1        127.1.0.2        34970  39253
X 15040  bench            4  127.1.0.2        127.0.0.1        39253  34970
X 15040  bench            4  127.0.0.1        127.1.0.2        34970  39252
`), twoWorkers)
	noError(t, err)
	equal(t, "tcptracer told", told, 2)
}

func TestSummaryLost(t *testing.T) {
	r := &running{output: written(t, `{"kind":"connection"}
{"kind":"summary","events":9,"lost":1,"untracked":2,"missed":3,"skipped":4,"undecodable":5,"hits":{}}
`), errors: newTranscript("")}
	lost, err := summaryLost(r)
	noError(t, err)
	equal(t, "lost", lost, 15)
	r.output = written(t, `{"kind":"connection"}`)
	if _, err := summaryLost(r); err == nil {
		t.Error("a trace that ended without a summary passed")
	}
}

const scraped = `# HELP brink_connection_closed_total Ends of TCP connections that ended without an error.
# TYPE brink_connection_closed_total counter
brink_connection_closed_total{brink_netns="4026532177",brink_role="client",network_type="ipv4"} 12000
brink_connection_closed_total{brink_netns="4026532177",brink_role="server",network_type="ipv4"} 1.2e+04
brink_connection_closed_total{brink_netns="1",brink_role="server",network_type="ipv4"} 5
brink_connection_failed_total{brink_failure="refused",brink_netns="4026532180",brink_role="client"} 30
brink_events_lost_total{brink_reason="ring_full"} 2
brink_events_lost_total{brink_reason="map_full"} 1
brink_program_skipped_total 4
`

func TestAgentsMetrics(t *testing.T) {
	r := &running{output: written(t, scraped)}
	told, err := agentCount(r.output, twoWorkers)
	noError(t, err)
	equal(t, "told", told, 24030)
	lost, err := agentLost(r)
	noError(t, err)
	equal(t, "lost", lost, 7)
	r.output = written(t, "")
	if _, err := agentLost(r); err == nil {
		t.Error("an agent without the metric has lost nothing")
	}
}
