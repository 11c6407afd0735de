package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"brink/cmd/brink/backends"
	"brink/experiments/lab"

	"github.com/urfave/cli/v2"
)

// TestDeployedCommands: the agent knows the flags that the files for systemd and
// Kubernetes give it.
func TestDeployedCommands(t *testing.T) {
	known := map[string]bool{}
	for _, flag := range agentCommand().Flags {
		for _, name := range flag.(cli.Flag).Names() {
			known["--"+name] = true
		}
	}
	for _, name := range []string{"brink.service", "daemonset.yaml"} {
		text := string(must[[]byte](t)(os.ReadFile(filepath.Join("deploy", name))))
		command := regexp.MustCompile(`(?m)^.*brink"?,? "?agent.*$`).FindString(text)
		flags := regexp.MustCompile(`--[a-z-]+`).FindAllString(command, -1)
		if len(flags) == 0 {
			t.Errorf("%s: no flags in %q", name, command)
		}
		for _, flag := range flags {
			if !known[flag] {
				t.Errorf("%s: brink agent has no %s", name, flag)
			}
		}
	}
}

// TestLeastPrivilege: as an unused user, with the capabilities that the systemd
// unit gives it and no others, the agent sees what root sees: every hook on the
// same rung, and the limits of another user's network namespace.
func TestLeastPrivilege(t *testing.T) {
	needRoot(t)
	for _, tool := range []string{"unshare", "setpriv"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatal(err) // util-linux: Debian's are essential
		}
	}
	l := newLab(t)
	server := newWorker(t, l, lab.WorkerOptions{})
	must[lab.Socket](t)(server.Listen(t.Context(), lab.ListenOptions{Addr: loopback(80), Backlog: 9}))
	root, least := agentAs(t, nil), agentAs(t, privilege(t))
	queue := fmt.Sprintf(`brink_listener_accept_queue_max{brink_netns="%d"`, l.Netns())
	for _, agent := range []*backends.Process{root, least} {
		backends.Eventually(t, "the listener in the lab", func() bool { return len(seriesOf(t, agent, queue)) == 1 })
	}
	want, got := seriesOf(t, root, "brink_hook_mode{"), seriesOf(t, least, "brink_hook_mode{")
	if len(want) == 0 || strings.Join(want, "\n") != strings.Join(got, "\n") {
		t.Errorf("root has\n%s\nthe service\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	same(t, "the listener", strings.Join(seriesOf(t, least, queue), "\n"), strings.Join(seriesOf(t, root, queue), "\n"))
}

// privilege is a command that runs another as the unit would: as user nobody, with
// its capabilities, in a mount namespace that has tracefs as systemd's hosts do.
func privilege(t *testing.T) []string {
	t.Helper()
	unit := string(must[[]byte](t)(os.ReadFile("deploy/brink.service")))
	line := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindStringSubmatch(unit)
	if line == nil {
		t.Fatal("the unit has no CapabilityBoundingSet")
	}
	capabilities := "-all"
	for _, name := range strings.Fields(line[1]) {
		capabilities += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	}
	return []string{"unshare", "--mount", "sh", "-c", `mount -t tracefs tracefs /sys/kernel/tracing; exec "$@"`, "sh",
		"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
		"--inh-caps=" + capabilities, "--ambient-caps=" + capabilities, "--bounding-set=" + capabilities}
}

// agentAs runs the agent by way of another command.
func agentAs(t *testing.T, by []string) *backends.Process {
	t.Helper()
	at := backends.NewAddress() + ":9435"
	cmd := brink(t, "agent", "--listen", at, "--interval", "1s", "--history-socket", "")
	if len(by) > 0 {
		args := append(append([]string{}, by[1:]...), reachable(t, cmd.Path))
		as := exec.Command(by[0], append(args, cmd.Args[1:]...)...)
		as.Env = cmd.Env
		cmd = as
	}
	agent := backends.Run(t, cmd, "http://"+at+"/readyz")
	agent.Address = at
	return agent
}

// reachable is a copy of a program that any user may run: go test's folders are
// its user's alone.
func reachable(t *testing.T, program string) string {
	t.Helper()
	dir := must[string](t)(os.MkdirTemp("", "brink-test-"))
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	from := must[*os.File](t)(os.Open(program))
	defer from.Close()
	to := must[*os.File](t)(os.OpenFile(filepath.Join(dir, "brink"), os.O_CREATE|os.O_WRONLY, 0o755))
	defer to.Close()
	must[int64](t)(io.Copy(to, from))
	return to.Name()
}

// seriesOf are the lines of the agent's metrics that begin so, in its order.
func seriesOf(t *testing.T, agent *backends.Process, prefix string) (found []string) {
	t.Helper()
	response := must[*http.Response](t)(http.Get("http://" + agent.Address + "/metrics"))
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), prefix) {
			found = append(found, lines.Text())
		}
	}
	return found
}
