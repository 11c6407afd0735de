package deploy_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"brink/cmd/brink/backends"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// succeed runs a parser and returns what it said.
func succeed(t *testing.T, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_LOG_LEVEL=warning")
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, said)
	}
	return string(said)
}

// needBackends leaves a test out whose parser is to be built or fetched first.
func needBackends(t *testing.T) {
	t.Helper()
	if os.Getenv("BRINK_BACKENDS") != "1" {
		t.Skip("needs a real Prometheus or Collector: set BRINK_BACKENDS=1, or run make test-backends")
	}
}

func TestCollector(t *testing.T) {
	needBackends(t)
	collector, err := backends.CollectorBinary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	succeed(t, collector, "validate", "--config=collector.yaml")
	// That it would tell: the same with a word that no Collector knows.
	wrong := exec.Command(collector, "validate", "--config=collector.yaml", "--config=yaml:processors::batch::sise: 1")
	if said, err := wrong.CombinedOutput(); err == nil || !strings.Contains(string(said), "sise") {
		t.Errorf("a misspelt setting: %v, %s", err, said)
	}
}

func TestAlerts(t *testing.T) {
	needBackends(t)
	promtool := promtool(t)
	succeed(t, promtool, "check", "rules", "--lint-fatal", "alerts.yaml")
	succeed(t, promtool, "test", "rules", "alerts_test.yaml")
}

func promtool(t *testing.T) string {
	t.Helper()
	promtool, err := backends.Promtool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return promtool
}

// TestDashboardExpressions has promtool parse each expression as a recording rule.
func TestDashboardExpressions(t *testing.T) {
	needBackends(t)
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for _, expression := range readDashboard(t).Expressions() {
		rules = append(rules, rule{"brink:dashboard", expression})
	}
	// JSON is YAML; promtool tells equal rules, which here only share a name.
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	succeed(t, promtool(t), "check", "rules", "--lint=none", file)
}

func readDashboard(t *testing.T) backends.Dashboard {
	t.Helper()
	d, err := backends.ParseDashboard(read(t, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDashboard: panels have numbers of their own, lie side by side within the 24
// columns, and ask for something.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	seen := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if seen[p.ID] {
			t.Errorf("%s: the number %d is another panel's, too", p.Title, p.ID)
		}
		seen[p.ID] = true
		if p.Type != "row" && (len(p.Targets) == 0 || p.Description == "" || p.FieldConfig.Defaults.Unit == "") {
			t.Errorf("%s: without a query, a description or a unit", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s is over %q or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}
