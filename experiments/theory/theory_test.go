package theory

import (
	"math/big"
	"testing"
	"time"
)

func number(t *testing.T, s string) *big.Int {
	t.Helper()
	v, ok := new(big.Int).SetString(s, 10)
	if !ok {
		t.Fatalf("%q is no number", s)
	}
	return v
}

func value(t *testing.T, answers []Answer, name string) string {
	t.Helper()
	for _, a := range answers {
		if a.Name == name {
			return a.Value.String()
		}
	}
	t.Fatalf("no answer %q", name)
	return ""
}

// TestLadder holds the values against ones computed elsewhere (bc).
func TestLadder(t *testing.T) {
	for _, c := range []struct {
		n, m string
		want map[string]string
	}{
		{"4294967296", "65536", map[string]string{ // 2^32 and 2^16
			"pair":        "65536",
			"cables":      "140737488355328",               // 2^47
			"one_server":  "281474976645120",               // 2^48 − 2^16
			"two_servers": "281474976710654",               // 2^48 − 2
			"four_tuple":  "79228162514264337593543950336", // 2^96
			"at_once":     "39614081257132309534260330496", // 2^95 + 2^47
		}},
		{"3", "65535", map[string]string{
			"pair": "65535", "cables": "98302", "one_server": "131070", "two_servers": "196603",
			"four_tuple": "38653526025", "at_once": "19326861315",
		}},
		{"2", "3", map[string]string{ // small enough to list
			"pair": "3", "cables": "3", "one_server": "3", "two_servers": "4", "four_tuple": "36", "at_once": "21",
		}},
		{"1", "1", map[string]string{
			"pair": "1", "cables": "0", "one_server": "0", "two_servers": "0", "four_tuple": "1", "at_once": "1",
		}},
	} {
		answers := Ladder(number(t, c.n), number(t, c.m))
		if len(answers) != len(c.want) {
			t.Errorf("%d answers, not %d", len(answers), len(c.want))
		}
		for name, want := range c.want {
			if got := value(t, answers, name); got != want {
				t.Errorf("n = %s, m = %s: %s is %s, not %s", c.n, c.m, name, got, want)
			}
		}
	}
}

// TestAtOnceByCounting lists the pairs that the formula counts.
func TestAtOnceByCounting(t *testing.T) {
	for n := range 5 {
		for m := range 5 {
			ordered, unordered := 0, 0
			for a := range n * m {
				for b := range n * m {
					ordered++
					if a <= b {
						unordered++
					}
				}
			}
			answers := Ladder(big.NewInt(int64(n)), big.NewInt(int64(m)))
			if got := value(t, answers, "four_tuple"); got != big.NewInt(int64(ordered)).String() {
				t.Errorf("n = %d, m = %d: m²n² is %s, counted %d", n, m, got, ordered)
			}
			if got := value(t, answers, "at_once"); got != big.NewInt(int64(unordered)).String() {
				t.Errorf("n = %d, m = %d: mn(mn+1)/2 is %s, counted %d", n, m, got, unordered)
			}
		}
	}
}

// The answers climb: each is more than the one before it, from three machines
// on; that is why predict takes three when it is not told.
func TestLadderClimbs(t *testing.T) {
	answers := Ladder(big.NewInt(3), big.NewInt(UsablePorts))
	for i, a := range answers[1:5] {
		if a.Value.Cmp(answers[i].Value) <= 0 {
			t.Errorf("%s is %v, after %v", a.Formula, a.Value, answers[i].Value)
		}
	}
	for _, a := range answers {
		if a.Name == "" || a.Formula == "" || a.Unit == "" || a.Why == "" || a.WhyNot == "" || len(a.Inputs) == 0 {
			t.Errorf("%+v lacks a part", a)
		}
	}
}

func TestPractice(t *testing.T) {
	answers := Practice(big.NewInt(3), big.NewInt(UsablePorts))
	for name, want := range map[string]string{"clients": "56464", "listener": "56465", "churn": "470"} {
		if got := value(t, answers, name); got != want {
			t.Errorf("%s is %s, not %s", name, got, want)
		}
	}
	if got := value(t, Practice(big.NewInt(3), big.NewInt(10)), "clients"); got != "20" {
		t.Errorf("two clients with ten ports make %s connections", got)
	}
}

func TestPorts(t *testing.T) {
	for _, c := range []struct {
		name        string
		ports       Ports
		least, most int
	}{
		{"Linux's default", Ports{Low: 32768, High: 60999}, 28232, 28232},
		{"reserved and bound", Ports{Low: 40000, High: 40099, Reserved: 10, Bound: 1}, 89, 89},
		{"odd", Ports{Low: 40000, High: 40098}, 98, 99},
		{"odd, neither end to be had", Ports{Low: 40000, High: 40098, Reserved: 2, EndsTaken: true}, 97, 97},
		{"one port", Ports{Low: 40000, High: 40000}, 1, 1},
		{"none left", Ports{Low: 40000, High: 40001, Reserved: 2}, 0, 0},
		{"odd, none left", Ports{Low: 40000, High: 40002, Reserved: 3}, 0, 0},
	} {
		if least, most := c.ports.Connections(); least != c.least || most != c.most {
			t.Errorf("%s: %d to %d, not %d to %d", c.name, least, most, c.least, c.most)
		}
	}
}

func TestChurn(t *testing.T) {
	for _, c := range []struct {
		ports int
		kept  time.Duration
		want  int
	}{{28232, TimeWait, 470}, {28232, time.Second, 28232}, {59, TimeWait, 0}, {10, 0, 0}} {
		if got := Churn(c.ports, c.kept); got != c.want {
			t.Errorf("%d ports kept for %v make %d a second, not %d", c.ports, c.kept, got, c.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for in, want := range map[string][2]string{
		"0":                             {"0", ""},
		"999":                           {"999", ""},
		"-1000":                         {"-1,000", ""},
		"1048576":                       {"1,048,576", "= 2^20"},
		"38653526025":                   {"38,653,526,025", "≈ 2^35.17"},
		"79228162514264337593543950336": {"79,228,162,514,264,337,593,543,950,336", "= 2^96"},
	} {
		v := number(t, in)
		if got := Grouped(v); got != want[0] {
			t.Errorf("%s is grouped as %s", in, got)
		}
		if got := PowerOfTwo(v); got != want[1] {
			t.Errorf("%s is %q as a power of two, not %q", in, got, want[1])
		}
	}
	if got := Log2(new(big.Int).Lsh(big.NewInt(1), 288)); got != 288 {
		t.Errorf("log2 of 2^288 is %v", got)
	}
}
