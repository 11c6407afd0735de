package experiments

import (
	"syscall"
	"testing"
)

func TestReservedWithin(t *testing.T) {
	for _, row := range []struct {
		list string
		want int
	}{
		{"", 0}, {"\n", 0},
		{"40000", 1}, {"40199\n", 1}, {"40000,40199", 2},
		{"39999", 0}, {"40200", 0}, {"8080,50000-50010", 0},
		{"40010-40019", 10}, {"40010-40010", 1}, {"40010-40019,40050,50000", 11},
		{"39990-40009", 10}, {"40190-40299", 10}, {"39999-40200", 200}, {"1-65535", 200},
		{"39000-39999,40200-41000", 0}, {"40019-40010", 0},
		{"40000,", 1},
	} {
		got := must(reservedWithin(row.list, 40000, 40199))(t)
		equal(t, row.list, got, row.want)
	}
}

func TestReservedWithinGarbage(t *testing.T) {
	for _, list := range []string{"none", "40000-", "-40000", "40000-x", "x-40000", "40000 40001", "40000-40001-40002", "0x9c40"} {
		_, err := reservedWithin(list, 40000, 40199)
		isError(t, err, "ip_local_reserved_ports has")
	}
}

func TestPredictPorts(t *testing.T) {
	b, ctx := newBench(t), deadline(t)
	for _, row := range []struct {
		limits, reserved string
		destinations     int
		value, taken     int
		formula          string
	}{
		{"40000 40199", "", 1, 200, 0, "high - low + 1 - reserved"},
		{"40000 40199", "40010-40019,40050,50000", 1, 189, 11, "high - low + 1 - reserved"},
		{"32768 60999", "1-40000", 1, 20999, 7233, "high - low + 1 - reserved"},
		{"1024 65535", "", 1, 64512, 0, "high - low + 1 - reserved"},
		{"50000 50000", "", 1, 1, 0, "high - low + 1 - reserved"},
		{"50000 50001", "50000", 3, 3, 1, "destinations × (high - low + 1 - reserved)"},
	} {
		noError(t, b.set(ctx, "net.ipv4.ip_local_port_range", row.limits, "net.ipv4.ip_local_reserved_ports", row.reserved))
		p := must(b.predictPorts(ctx, row.destinations, syscall.EADDRNOTAVAIL))(t)
		name := row.limits + " without " + row.reserved
		equal(t, name, p.Value, row.value)
		equal(t, name+": reserved", p.Inputs[2], Input{"reserved", row.taken})
		equal(t, name+": formula", p.Formula, row.formula)
		equal(t, name+": errno", p.Errno, syscall.EADDRNOTAVAIL)
		equal(t, name+": destinations are an input", len(p.Inputs) == 4, row.destinations > 1)
	}
}

func TestEvenEnd(t *testing.T) {
	for high, want := range map[int]int{40000: 40000, 40001: 40001, 40002: 40001, 40003: 40003, 40100: 40099} {
		equal(t, "40000 to", evenEnd(40000, high), want)
	}
	_, _, err := parseRange("many ports")
	isError(t, err, `ip_local_port_range is "many ports"`)
}

// TestOddRange: of three ports connect() tries two, so the third stays free.
func TestOddRange(t *testing.T) {
	r := run(t, noKernel(), fourPorts(prepared(setting("net.ipv4.ip_local_port_range", "40000 40002"))))
	judged(t, "three ports", r, Refuted, "predicted 3 connections, measured 2 (EADDRNOTAVAIL)")
}

// TestHostRange: --full pushes to this namespace's own settings.
func TestHostRange(t *testing.T) {
	r := must(hostRange())(t)
	b, ctx := newBench(t), deadline(t)
	noError(t, r.apply(ctx, b))
	equal(t, "range", must(b.Lab.Sysctl(ctx, "net.ipv4.ip_local_port_range"))(t), r.low+" "+r.high)
	equal(t, "reserved", must(b.Lab.Sysctl(ctx, "net.ipv4.ip_local_reserved_ports"))(t), r.reserved)
}
