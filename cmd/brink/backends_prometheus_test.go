package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"brink/cmd/brink/backends"
	"brink/experiments/lab"
)

// observed is a lab with an agent, and a Prometheus that scrapes it each second
// and has the rules that brink ships.
type observed struct {
	lab            *lab.Lab
	client, server *lab.Worker
	agent          *backends.Process
	prometheus     *backends.Prometheus
}

func newObserved(t *testing.T) *observed {
	t.Helper()
	l := newLab(t)
	for knob, value := range map[string]string{
		"net.ipv4.ip_local_port_range": "40000 40099", // a hundred
		"net.ipv4.tcp_max_tw_buckets":  "60",
	} {
		if err := l.SetSysctl(t.Context(), knob, value); err != nil {
			t.Fatal(err)
		}
	}
	o := &observed{lab: l, client: newWorker(t, l, lab.WorkerOptions{}), server: newWorker(t, l, lab.WorkerOptions{})}
	o.agent = startAgent(t, nil, "--netns", l.NetnsPath())
	o.prometheus = backends.StartPrometheus(t, fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
  - job_name: brink
    static_configs: [{targets: [%q]}]
`, impatient(t, "deploy/alerts.yaml"), o.agent.Address))
	return o
}

var forHowLong = regexp.MustCompile(`(?m)^( +for:) .*$`)

// impatient is the shipped rules with a second in place of each rule's minutes:
// promtool's tests hold those.
func impatient(t *testing.T, rules string) string {
	t.Helper()
	text := must[[]byte](t)(os.ReadFile(rules))
	file := filepath.Join(t.TempDir(), "alerts.yaml")
	if err := os.WriteFile(file, forHowLong.ReplaceAll(text, []byte("$1 1s")), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// of is a metric with labels in the lab's namespace: `name{…}`.
func (o *observed) of(metric, labels string) string {
	return fmt.Sprintf(`%s{brink_netns="%d",%s}`, metric, o.lab.Netns(), labels)
}

// connect tries n connections to a port of the loopback address, each for as long
// as a first SYN and its repetition take.
func (o *observed) connect(t *testing.T, port uint16, n int) lab.ConnectResult {
	t.Helper()
	return must[lab.ConnectResult](t)(o.client.Connect(t.Context(), lab.ConnectOptions{
		To: []netip.AddrPort{loopback(port)}, Count: n, KeepGoing: true, Timeout: 1500 * time.Millisecond,
	}))
}

func loopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
}

func (o *observed) listen(t *testing.T, port uint16, options lab.ListenOptions) {
	t.Helper()
	options.Addr = loopback(port)
	must[lab.Socket](t)(o.server.Listen(t.Context(), options))
}

// value is what a metric has summed up over its series.
func (o *observed) value(metric, labels string) (sum float64) {
	for _, sample := range o.prometheus.Query(o.of(metric, labels)) {
		sum += sample.Value
	}
	return sum
}

// await waits until a metric has a value, and no other one of that name and labels.
// Limits are read now: on a host that is busy the agent may wait long to do so.
func (o *observed) await(t *testing.T, metric, labels string, value float64) {
	t.Helper()
	o.agent.Signal(syscall.SIGHUP)
	series := o.of(metric, labels)
	var samples []backends.Sample
	defer func() {
		if t.Failed() {
			t.Logf("%s is %v", series, samples)
		}
	}()
	backends.Eventually(t, fmt.Sprintf("%s == %v", series, value), func() bool {
		samples = o.prometheus.Query(series)
		return len(samples) == 1 && samples[0].Value == value
	})
}

// TestAgentInPrometheus: what Prometheus has recorded is what the test has done;
// the alert for ephemeral ports fires above 80 %, not before, and ends.
func TestAgentInPrometheus(t *testing.T) {
	needBackends(t)
	o := newObserved(t)
	o.listen(t, 80, lab.ListenOptions{Accept: true, CloseOnEOF: true})

	held := o.connect(t, 80, 79)
	o.await(t, "brink_limit_usage", `brink_limit="ephemeral_ports"`, 79)
	o.await(t, "brink_limit_max", `brink_limit="ephemeral_ports"`, 100)
	o.await(t, "brink_limit_utilization_ratio", `brink_limit="ephemeral_ports"`, 0.79)
	o.prometheus.AwaitRules()
	if alerts := o.prometheus.Query(o.of("ALERTS", `alertname="BrinkEphemeralPortsLow"`)); len(alerts) > 0 {
		t.Errorf("at 79 %% there is an alert: %v", alerts)
	}

	more := o.connect(t, 80, 11)
	o.await(t, "brink_limit_utilization_ratio", `brink_limit="ephemeral_ports"`, 0.9)
	o.prometheus.Await(o.of("ALERTS", `alertname="BrinkEphemeralPortsLow",alertstate="firing"`))

	full := o.connect(t, 80, 15)
	same(t, "opened of fifteen", full.Opened, 10)
	o.await(t, "brink_limit_hits_total", `brink_limit="ephemeral_ports",error_type="address_not_available"`, 5)
	o.prometheus.Await(o.of("ALERTS", `alertname="BrinkLimitRefuses",alertstate="firing",brink_limit="ephemeral_ports"`))
	same(t, "opened at a port where nobody listens", o.connect(t, 81, 7).Opened, 0)
	o.await(t, "brink_connection_failed_total", `brink_role="client",error_type="connection_refused"`, 7)

	for _, role := range []string{"client", "server"} {
		o.await(t, "brink_connection_opened_total", `brink_role="`+role+`"`, 100)
		o.await(t, "brink_connection_handshake_duration_seconds_count", `brink_role="`+role+`"`, 100)
	}
	o.await(t, "system_network_connection_count", `network_connection_state="established",network_type="ipv4"`, 200)
	o.queue(t)

	for _, r := range []lab.ConnectResult{held, more} {
		must[int](t)(o.client.CloseSockets(t.Context(), r.Sockets, lab.CloseNormally))
	}
	o.await(t, "brink_time_wait_count", "", 60)
	backends.Eventually(t, "the kernel's own count of overflows", func() bool {
		n := must[map[string]uint64](t)(o.lab.Counters(t.Context()))["TcpExt.TCPTimeWaitOverflow"]
		return n > 0 && o.value("brink_time_wait_overflowed_total", "") == float64(n) &&
			o.value("brink_limit_hits_total", `brink_limit="time_wait_buckets"`) == float64(n)
	})
	o.dashboard(t)
}

// queue: a listener that accepts nothing, for the depth of its queue.
func (o *observed) queue(t *testing.T) {
	t.Helper()
	o.listen(t, 82, lab.ListenOptions{Backlog: 9})
	same(t, "connections in the queue", o.connect(t, 82, 4).Opened, 4)
	const listener = `network_local_port="82"`
	o.await(t, "brink_listener_accept_queue_usage", listener, 4)
	o.await(t, "brink_listener_accept_queue_max", listener, 10)
	same(t, "connections in the rest of the queue", o.connect(t, 82, 7).Opened, 6)
	o.await(t, "brink_limit_hits_total", `brink_limit="accept_queue"`, 2) // a SYN and its repetition
}

var metricName = regexp.MustCompile(`\b(?:brink|process|system)_[a-z_]+(?:_total|_bucket|_seconds|_bytes|_ratio|_usage|_max|_count|_mode)\b`)

// unseen are metrics that only function hooks can tell, or a network that loses
// segments.
var unseen = []string{"brink_time_wait_left_total", "brink_time_wait_reused_total", "brink_connection_retransmits_total"}

// dashboard: each metric that a panel asks for is one that the agent has told.
func (o *observed) dashboard(t *testing.T) {
	t.Helper()
	d := must[backends.Dashboard](t)(backends.ParseDashboard(must[[]byte](t)(os.ReadFile("deploy/dashboard.json"))))
	names := o.prometheus.Names()
	for _, expression := range d.Expressions() {
		for _, name := range metricName.FindAllString(expression, -1) {
			if !slices.Contains(names, name) && !slices.Contains(unseen, name) {
				t.Errorf("no agent tells %s, of %s", name, expression)
			}
		}
		o.prometheus.Query(expression) // Prometheus takes it as it is
	}
}
