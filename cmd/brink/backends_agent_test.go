package main

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"brink/cmd/brink/backends"
	"brink/experiments/lab"

	"golang.org/x/sys/unix"
)

// startAgent runs brink agent beside backends, with all spans, and waits until it
// observes. Its address is where it is to be scraped.
func startAgent(t *testing.T, environment []string, args ...string) *backends.Process {
	t.Helper()
	at := backends.NewAddress() + ":9435"
	cmd := brink(t, append([]string{"agent", "--listen", at, "--interval", "1s", "--history-socket", ""}, args...)...)
	cmd.Env = append(append(cmd.Env, "OTEL_TRACES_SAMPLER=always_on", "OTEL_BSP_SCHEDULE_DELAY=200"), environment...)
	agent := backends.Run(t, cmd, "http://"+at+"/readyz")
	agent.Address = at
	t.Cleanup(func() { // before it is stopped
		if status := agent.End(); status != 0 && !t.Failed() {
			t.Errorf("the agent ended with %d: %s", status, agent.Said())
		}
	})
	return agent
}

// translated is two hosts and a NAT between them:
//
//	client 10.1.0.2 ── 10.1.0.1 router 10.2.0.1:5000-5999 ── 10.2.0.2 server
type translated struct{ client, router, server *lab.Lab }

var (
	natClient = netip.MustParsePrefix("10.1.0.2/24")
	natInner  = netip.MustParsePrefix("10.1.0.1/24")
	natOuter  = netip.MustParsePrefix("10.2.0.1/24")
	natServer = netip.MustParsePrefix("10.2.0.2/24")
)

func newTranslated(t *testing.T) translated {
	t.Helper()
	n := translated{newLab(t), newLab(t), newLab(t)}
	ctx := t.Context()
	for _, err := range []error{
		n.client.Link(ctx, n.router, natClient, natInner),
		n.server.Link(ctx, n.router, natServer, natOuter),
		n.router.SetSysctl(ctx, "net.ipv4.ip_forward", "1"),
		n.client.AddRoute(ctx, natServer, natInner.Addr()),
		n.router.SNAT(ctx, lab.NAT{Protocol: unix.IPPROTO_TCP, To: natOuter.Addr(), Low: 5000, High: 5999}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// serveHTTP serves a greeting in a lab's namespace, from this process. A socket
// belongs to the namespace of the thread that made it.
func serveHTTP(t *testing.T, l *lab.Lab, at string) {
	t.Helper()
	var listener net.Listener
	inLab(t, l, func() (err error) {
		listener, err = listen(at)
		return err
	})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello\n")) })}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
}

// TestAgentInJaeger: curl to a server in another namespace, through NAT, is one
// trace of a client's and a server's span, by each way to get there.
func TestAgentInJaeger(t *testing.T) {
	needBackends(t)
	jaeger := backends.StartJaeger(t)
	collector := startPipeline(t, jaeger, "/dev/null")
	hosts := newTranslated(t)
	serveHTTP(t, hosts.server, "10.2.0.2:8000")
	for _, r := range []route{{"agent", jaeger.OTLP(), "grpc"}, {"agent-collector", collector.OTLP(), "http/protobuf"}} {
		t.Run(r.name, func(t *testing.T) {
			if r.protocol == "http/protobuf" {
				r.endpoint = strings.Replace(r.endpoint, ":4317", ":4318", 1)
			}
			startAgent(t, append(r.environment(r.name), "OTEL_METRICS_EXPORTER=none"),
				"--netns", hosts.client.NetnsPath(), "--netns", hosts.server.NetnsPath())
			curl := exec.Command("curl", "-sS", "--max-time", "10", "http://10.2.0.2:8000/")
			same(t, "what curl got", string(runInside(t, hosts.client, curl)), "hello\n")
			trace := jaeger.AwaitTrace("a trace with both ends", marked(r.name), func(trace backends.Trace) bool {
				return len(trace.Find("tcp client connection")) == 1 && len(trace.Find("tcp server connection")) == 1
			})
			checkTranslated(t, trace, hosts, curl.Process.Pid)
		})
	}
}

// checkTranslated: each end says its own view of the addresses, which the NAT made
// different; they share a trace and the server is below the client.
func checkTranslated(t *testing.T, trace backends.Trace, hosts translated, curl int) {
	t.Helper()
	client, server := only(t, trace, "tcp client connection"), only(t, trace, "tcp server connection")
	same(t, "the client's parent", client.Parent(), "")
	same(t, "the server's parent", server.Parent(), client.SpanID)
	for _, end := range []struct {
		span                       backends.Span
		kind, local, peer, program string
		pid                        int
		where                      *lab.Lab
	}{
		{client, "client", "10.1.0.2", "10.2.0.2", "curl", curl, hosts.client},
		{server, "server", "10.2.0.2", "10.2.0.1", "", os.Getpid(), hosts.server},
	} {
		tags := end.span.Tags
		t.Logf("trace %s: %s %v %s %v:%v → %v:%v %v", trace.TraceID, end.span.OperationName, tags.Get("process.pid"), tags.Text("process.executable.name"),
			tags.Get("network.local.address"), tags.Get("network.local.port"), tags.Get("network.peer.address"), tags.Get("network.peer.port"), end.span.Events())
		same(t, "kind", tags.Text("span.kind"), end.kind)
		same(t, "local address", tags.Text("network.local.address"), end.local)
		same(t, "peer address", tags.Text("network.peer.address"), end.peer)
		same(t, end.kind+"'s pid", tags.Number("process.pid"), float64(end.pid))
		same(t, "namespace", tags.Number("brink.netns"), float64(end.where.Netns()))
		same(t, "status", tags.Get("otel.status_code"), nil)
		if end.program != "" {
			same(t, "program", tags.Text("process.executable.name"), end.program)
		}
	}
	if port := server.Tags.Number("network.peer.port"); port < 5000 || port > 5999 {
		t.Errorf("the server's peer has port %s, not one of the NAT's", strconv.Itoa(int(port)))
	}
	checkEvents(t, client, "syn_sent", "established", "fin_wait_1")
	checkEvents(t, server, "syn_received", "established", "close_wait")
}

// checkEvents: the span's events begin with these states, and are in order of time.
func checkEvents(t *testing.T, s backends.Span, first ...string) {
	t.Helper()
	events := s.Events()
	if len(events) < len(first) || strings.Join(events[:len(first)], " ") != strings.Join(first, " ") {
		t.Errorf("%s: states %v, want %v", s.OperationName, events, first)
	}
	for i := 1; i < len(s.Logs); i++ {
		if s.Logs[i].Timestamp < s.Logs[i-1].Timestamp {
			t.Errorf("%s: its states are out of order", s.OperationName)
		}
	}
}
