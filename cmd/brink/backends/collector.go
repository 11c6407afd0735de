package backends

import "testing"

// Collector is an OpenTelemetry Collector with a pipeline of the test's.
type Collector struct{ *Process }

// StartCollector builds the Collector if need be, and starts it. configs are as
// for --config: files, or YAML after "yaml:", each laid over the one before.
// ${env:LISTEN} is its address in them; more variables are "NAME=value" in env.
func StartCollector(t testing.TB, configs, env []string) *Collector {
	t.Helper()
	binary, err := CollectorBinary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := NewAddress()
	c := &Collector{&Process{
		Address: at, t: t, name: "the Collector", ready: listens(at + ":4317"),
		args: []string{binary}, env: append(env, "LISTEN="+at),
	}}
	for _, config := range configs {
		c.args = append(c.args, "--config="+config)
	}
	c.start()
	return c
}

// OTLP is where it takes spans and metrics by gRPC.
func (c *Collector) OTLP() string { return "http://" + c.Address + ":4317" }
