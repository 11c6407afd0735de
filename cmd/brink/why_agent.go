package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"brink/collector/diagnosis"
)

// agentAnswers is how long an agent may take to say what it remembers.
const agentAnswers = 2 * time.Second

// ask asks the agent of this host, if one runs, what was refused to the subject
// lately: nothing has to be waited for then. False if there is none, if it does
// not watch the subject, or if this user may not ask it.
func (w *whyWatch) ask(ctx context.Context, refusals *diagnosis.Refusals) (told diagnosis.Watched, ok bool) {
	if w.agent == "" {
		return told, false
	}
	ctx, cancel := context.WithTimeout(ctx, agentAnswers)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/refusals?"+w.query(refusals).Encode(), nil)
	if err != nil {
		return told, false
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", w.agent)
	}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return told, false
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return told, false
	}
	err = json.NewDecoder(response.Body).Decode(&told)
	return told, err == nil && told.For > 0
}

// query is the filter that the kernel would be given.
func (w *whyWatch) query(refusals *diagnosis.Refusals) url.Values {
	q := url.Values{"hook": w.hooks, "netns": {strconv.Itoa(int(refusals.Netns))}}
	if refusals.PID != 0 {
		q.Set("pid", strconv.Itoa(int(refusals.PID)))
	}
	if w.filter.Port != 0 {
		q.Set("port", strconv.Itoa(int(w.filter.Port)))
	}
	for _, prefix := range w.filter.CIDRs {
		q.Set("address", prefix.Addr().String())
	}
	return q
}
