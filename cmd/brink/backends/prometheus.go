package backends

import (
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Prometheus is Debian's, with a database of its own.
type Prometheus struct{ *Process }

// StartPrometheus fetches Prometheus if need be, and starts it. config is the text
// of prometheus.yml; rule files in it are by absolute path.
func StartPrometheus(t testing.TB, config string) *Prometheus {
	t.Helper()
	dir, err := prometheusDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at, data := NewAddress(), t.TempDir()
	file := filepath.Join(data, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &Prometheus{&Process{
		Address: at, t: t, name: "Prometheus", ready: answers("http://" + at + ":9090/-/ready"),
		args: []string{filepath.Join(dir, "prometheus"),
			"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(data, "data"),
			"--web.listen-address=" + at + ":9090"},
	}}
	p.start()
	return p
}

// A Sample is one series of an instant query's answer.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Query asks for an expression's value now.
func (p *Prometheus) Query(expression string) (samples []Sample) {
	p.t.Helper()
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any // when, and the value as text
		}
	}
	p.get("query?"+url.Values{"query": {expression}}.Encode(), &data)
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			p.t.Fatalf("%s: %v", expression, err)
		}
		samples = append(samples, Sample{r.Metric, value})
	}
	return samples
}

// Await waits until an expression has a value: one that compares has none until
// the comparison holds.
func (p *Prometheus) Await(expression string) []Sample {
	p.t.Helper()
	var samples []Sample
	Eventually(p.t, expression, func() bool {
		samples = p.Query(expression)
		return len(samples) > 0
	})
	return samples
}

// Names are all metrics that there have been.
func (p *Prometheus) Names() (names []string) {
	p.t.Helper()
	p.get("label/__name__/values", &names)
	return names
}

// AwaitRules waits until all rules have been evaluated once more.
func (p *Prometheus) AwaitRules() {
	p.t.Helper()
	since := time.Now()
	Eventually(p.t, "the rules' evaluation", func() bool {
		var data struct {
			Groups []struct{ LastEvaluation time.Time }
		}
		p.get("rules", &data)
		for _, g := range data.Groups {
			if !g.LastEvaluation.After(since) {
				return false
			}
		}
		return len(data.Groups) > 0
	})
}

// get asks the API for the data of an answer.
func (p *Prometheus) get(path string, data any) {
	p.t.Helper()
	getJSON(p.t, "http://"+p.Address+":9090/api/v1/"+path, &struct{ Data any }{data})
}
