package bpf

import "testing"

// budgets are how many instructions the programs of the hot path may have in the
// object, where ways for several kernels stand side by side: a connection runs the
// first five ten times. What it costs in time is `make bench`'s to say; this is for
// the change that makes one of them larger without anybody noticing.
var budgets = map[string]int{
	"raw_tp_inet_sock_set_state":       7700,
	"raw_tp_inet_sock_set_state_again": 8250,
	"fentry_tcp_set_state":             7700,
	"kprobe_tcp_set_state":             7700,
	"fexit_inet_csk_accept":            370,
	"fexit_inet_csk_clone_lock":        340,
	"fexit_inet_csk_get_port":          1030,
	"fexit_inet_twsk_alloc":            1700,
	"fentry_inet_twsk_kill":            430,
	"tp_sys_exit_accept4":              490,
	"tp_sys_exit_descriptor":           700,
	"tp_sys_exit_connect":              3700,
}

func TestProgramsStaySmall(t *testing.T) {
	for arch, file := range objects {
		programs := load(t, file).Programs
		for name, most := range budgets {
			if n := len(programs[name].Instructions); n == 0 || n > most {
				t.Errorf("%s: %s has %d instructions, not 1 to %d", arch, name, n, most)
			}
		}
	}
}
