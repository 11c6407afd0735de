package limits

import (
	"strings"
	"testing"
)

func TestParsePortRange(t *testing.T) {
	for _, test := range []struct {
		ends, reserved string
		size           int
		knob           string
	}{
		{"32768\t60999\n", "\n", 28232, "net.ipv4.ip_local_port_range = 32768 60999"},
		{"40000 40099", "40000-40009", 90,
			"net.ipv4.ip_local_port_range = 40000 40099, 10 of them in net.ipv4.ip_local_reserved_ports"},
		{"40000 40099", "80,39990-40004,40099-50000", 94,
			"net.ipv4.ip_local_port_range = 40000 40099, 6 of them in net.ipv4.ip_local_reserved_ports"},
		{"40000 40099", "8080", 100, "net.ipv4.ip_local_port_range = 40000 40099"},
		{"1 65535", "1-65535", 0,
			"net.ipv4.ip_local_port_range = 1 65535, 65535 of them in net.ipv4.ip_local_reserved_ports"},
		{"5 5", "", 1, "net.ipv4.ip_local_port_range = 5 5"},
	} {
		r, err := ParsePortRange(test.ends, test.reserved)
		if err != nil {
			t.Errorf("%q without %q: %v", test.ends, test.reserved, err)
			continue
		}
		equal(t, test.ends+" without "+test.reserved, r.Size(), test.size)
		equal(t, "knob", r.Knob(), test.knob)
	}
}

func TestParsePortRangeRefuses(t *testing.T) {
	for _, test := range []struct{ ends, reserved, says string }{
		{"", "", "are not two ports"},
		{"1 2 3", "", "are not two ports"},
		{"60999 32768", "", "60999 is above 32768"},
		{"1 65536", "", `"65536" is no port`},
		{"-1 5", "", `"-1" is no port`},
		{"1 2", "x", `"x" is no port`},
		{"1 2", "1-", `"" is no port`},
		{"1 2", "1,,2", `"" is no port`},
	} {
		_, err := ParsePortRange(test.ends, test.reserved)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q without %q: %v", test.ends, test.reserved, err)
		}
	}
}

func TestPortRangeContains(t *testing.T) {
	r := ports(t, "40000 40099", "40000-40009")
	for port, want := range map[uint16]bool{39999: false, 40000: false, 40009: false, 40010: true, 40099: true, 40100: false} {
		if r.Contains(port) != want {
			t.Errorf("%d: %v", port, !want)
		}
	}
}

// Whatever is read, Size counts what Contains lets in.
func FuzzParsePortRange(f *testing.F) {
	f.Add("32768\t60999\n", "\n")
	f.Add("1 65535", "1-65535")
	f.Add("40000 40099", "80,40000-40009,50000")
	f.Add("5 5", "9-5")
	f.Fuzz(func(t *testing.T, ends, reserved string) {
		r, err := ParsePortRange(ends, reserved)
		if err != nil {
			return
		}
		n := 0
		for port := range 1 << 16 {
			if r.Contains(uint16(port)) {
				n++
			}
		}
		if n != r.Size() {
			t.Errorf("%q without %q: %d ports, size %d", ends, reserved, n, r.Size())
		}
	})
}

func ports(t testing.TB, ends, reserved string) *PortRange {
	t.Helper()
	r, err := ParsePortRange(ends, reserved)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
