package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// agentTracer is brink agent: it prints nothing, and counts in its metrics.
func agentTracer(ctx context.Context, brink, rung string) (tracer, error) {
	if err := exec.CommandContext(ctx, brink, "agent", "--help").Run(); err != nil {
		return tracer{}, fmt.Errorf("%s has no agent: %w", brink, err)
	}
	address, err := freeAddress()
	if err != nil {
		return tracer{}, err
	}
	t := tracer{
		name: agent, args: []string{brink, "agent", "--listen", address, "--history-socket", ""},
		attached: "msg=observing", web: "http://" + address,
		lines: agentCount, lost: agentLost,
	}
	return t.at(rung), nil
}

// freeAddress is one on loopback that nobody has right now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// get reads a page of the agent's.
func (r *running) get(ctx context.Context, page string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.web+page, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("get %s: %s: %.200s", request.URL, response.Status, body)
	}
	return body, err
}

// ready waits until the agent has read all limits once, which it does after it
// has attached, so that this is not part of what a load costs.
func (r *running) ready(ctx context.Context) error {
	for r.web != "" {
		_, err := r.get(ctx, "/readyz")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// scrape appends the metrics to the tracer's output, which is empty otherwise.
func (r *running) scrape(ctx context.Context) error {
	if r.web == "" {
		return nil
	}
	metrics, err := r.get(ctx, "/metrics")
	if err != nil {
		return err
	}
	file, err := os.OpenFile(r.output, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(metrics)
	return errors.Join(err, file.Close())
}

// agentCount adds up the ends of connections in the load's namespaces.
func agentCount(output string, p *prepared) (told int, err error) {
	for _, metric := range []string{"brink_connection_closed_total", "brink_connection_failed_total"} {
		found, err := samples(output, metric)
		if err != nil {
			return 0, err
		}
		for _, s := range found {
			inside := func(w work) bool { return strings.Contains(s.labels, fmt.Sprintf(`brink_netns="%d"`, w.Netns)) }
			if slices.ContainsFunc(p.ready, inside) {
				told += int(s.value)
			}
		}
	}
	return told, nil
}

// agentLost adds up what the agent says that it has lost, for any reason.
func agentLost(r *running) (lost uint64, err error) {
	for _, metric := range []string{"brink_events_lost_total", "brink_program_skipped_total"} {
		found, err := samples(r.output, metric)
		if err != nil {
			return 0, err
		}
		if len(found) == 0 {
			return 0, fmt.Errorf("%s has no metric %s", r.name, metric)
		}
		for _, s := range found {
			lost += uint64(s.value)
		}
	}
	return lost, nil
}

// sample is one line of the Prometheus text format.
type sample struct {
	name, labels string
	value        float64
}

// samples reads those of a scrape whose names have a prefix.
func samples(file, prefix string) (found []sample, err error) {
	text, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, prefix) {
			continue
		}
		series, value, _ := strings.Cut(line, "} ")
		name, labels, labelled := strings.Cut(series, "{")
		if !labelled {
			name, value, _ = strings.Cut(line, " ")
		}
		n, err := strconv.ParseFloat(strings.Fields(value + " 0")[0], 64)
		if err != nil {
			return nil, fmt.Errorf("metric %q: %w", line, err)
		}
		found = append(found, sample{name, labels, n})
	}
	return found, lines.Err()
}
