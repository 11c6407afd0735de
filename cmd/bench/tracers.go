package main

import (
	"context"
	"strings"
)

// Names of the tracers that goals speak of. brink's may have a rung after them.
const (
	untraced  = "untraced"
	agent     = "brink-agent"
	jsonLines = "brink-json"
	plainText = "brink-text"
	filtered  = "brink-filtered"

	tcplife    = "tcplife"
	tcplifeBT  = "tcplife.bt"
	tcpstates  = "tcpstates"
	tcpconnect = "tcpconnect"
	tcptracer  = "tcptracer"
	bindsnoop  = "bindsnoop"
)

// tracers are all that are compared: brink in its modes, on the best rung or on
// each of those given, its places without its programs, and the peers.
func tracers(ctx context.Context, brink, rungs string, p peers) (list []tracer, err error) {
	list = []tracer{{name: untraced}}
	for rung := range strings.SplitSeq(rungs, ",") {
		agent, err := agentTracer(ctx, brink, rung)
		if err != nil {
			return nil, err
		}
		list = append(list, agent,
			traceTracer(jsonLines, brink, rung, "--json"),
			traceTracer(plainText, brink, rung),
			traceTracer(filtered, brink, rung, "--json", "--port", "1"),
			hollowTracer(rung))
	}
	return append(list, p.tracers()...), nil
}

// traceTracer is brink trace. As lines for people it is not asked what it lost,
// nor what it told.
func traceTracer(name, brink, rung string, args ...string) tracer {
	t := tracer{name: name, args: append([]string{brink, "trace"}, args...), attached: "tracing ("}
	if name != plainText {
		t.lost = summaryLost
	}
	if name == jsonLines {
		t.lines = brinkLines
	}
	return t.at(rung)
}
