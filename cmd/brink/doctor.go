package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"brink/collector"
	"brink/collector/jsonl"
	"brink/loader"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "what this kernel lets brink see, rung by rung, and what to do about the rest",
		Description: "Attaches every hook as trace and run do, tells the rung that each got, why no better\n" +
			"one, and what is not seen there; then detaches. --rung kprobe asks what would be left\n" +
			"without fentry.",
		Flags:  []cli.Flag{jsonFlag(), rungFlag()},
		Action: doctor,
	}
}

func doctor(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("doctor takes no argument %q", c.Args().First())
	}
	rung, err := loader.ParseRung(c.String("rung"))
	if err != nil {
		return usageError{err}
	}
	t, err := loader.Attach(loader.Options{Best: rung})
	if err != nil {
		return err
	}
	defer t.Close()
	if c.Bool("json") {
		return doctorJSON(os.Stdout, t)
	}
	doctorText(os.Stdout, t)
	return nil
}

// check is something about the host that brink depends on.
type check struct {
	name, state, todo string
}

func checks(t *loader.Tracer) []check {
	list := []check{
		{name: "kernel", state: kernelRelease()},
		{name: "user", state: fmt.Sprintf("uid %d", os.Geteuid())},
		{name: "BTF", state: "present"},
		{name: "BPF", state: "allowed"},
		{name: "cgroup v2", state: collector.CgroupRoot()},
		{name: "tracefs", state: "mounted"},
	}
	if !loader.TracefsMounted() {
		list[5].state = "not mounted: brink mounts it for itself alone"
	}
	if !loader.HasBTF() {
		list[2].state = "absent"
		list[2].todo = "use a kernel with CONFIG_DEBUG_INFO_BTF: without it no program can find its fields"
	}
	if t.Blocked() != nil {
		list[3].state, list[3].todo = "refused", t.Advice()
	}
	if list[4].state == "" {
		list[4].state = "not mounted"
		list[4].todo = "mount -t cgroup2 none /sys/fs/cgroup/unified, or do without cgroup names and --cgroup"
	}
	return list
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err.Error()
	}
	return unix.ByteSliceToString(u.Release[:])
}

func doctorText(w io.Writer, t *loader.Tracer) {
	host := newTable(w)
	for _, c := range checks(t) {
		host.AppendRow(table.Row{c.name, c.state, c.todo})
	}
	host.Render()
	fmt.Fprintln(w)
	hooks := newTable(w)
	hooks.SetColumnConfigs([]table.ColumnConfig{
		{Number: 3, WidthMax: 48, WidthMaxEnforcer: text.WrapSoft},
		{Number: 4, WidthMax: 60, WidthMaxEnforcer: text.WrapSoft},
	})
	hooks.AppendHeader(table.Row{"hook", "rung", "by", "not seen there"})
	for _, m := range t.Modes() {
		hooks.AppendRow(table.Row{m.Name, m.Rung.String(), strings.Join(m.Sources, "\n"), m.Lost})
	}
	hooks.Render()
	fmt.Fprintln(w)
	for _, line := range whyNotBetter(t) {
		fmt.Fprintln(w, line)
	}
}

// whyNotBetter gives each reason once, with the hooks that it concerns.
func whyNotBetter(t *loader.Tracer) []string {
	type cause struct {
		rung   loader.Rung
		reason string
	}
	var order []cause
	concerned := map[cause][]string{}
	for _, m := range t.Modes() {
		for _, r := range m.Refusals {
			k := cause{r.Rung, r.Reason}
			if concerned[k] == nil {
				order = append(order, k)
			}
			concerned[k] = append(concerned[k], m.Name)
		}
	}
	var lines []string
	for _, k := range order {
		whose := strings.Join(concerned[k], ", ")
		if len(concerned[k]) == len(t.Modes()) {
			whose = "any hook"
		}
		lines = append(lines, fmt.Sprintf("no %s for %s: %s", k.rung, whose, k.reason))
		if todo := loader.Remedy(k.rung, k.reason); todo != "" {
			lines = append(lines, "  "+todo)
		}
	}
	return lines
}

func doctorJSON(w io.Writer, t *loader.Tracer) error {
	for _, c := range checks(t) {
		if _, err := w.Write(jsonl.Marshal("host", func(v collector.Visitor) {
			v.String("name", c.name)
			v.String("state", c.state)
			if c.todo != "" {
				v.String("todo", c.todo)
			}
		})); err != nil {
			return err
		}
	}
	for _, m := range t.Modes() {
		if _, err := w.Write(jsonl.Marshal("hook", func(v collector.Visitor) { visitMode(v, m) })); err != nil {
			return err
		}
	}
	return nil
}

func visitMode(v collector.Visitor, m loader.Mode) {
	v.String("hook", m.Name)
	v.String("tells", m.Tells)
	v.String("mode", m.Rung.String())
	if len(m.Sources) > 0 {
		v.String("by", strings.Join(m.Sources, " "))
	}
	if m.Lost != "" {
		v.String("not_seen", m.Lost)
	}
	v.List("refused", len(m.Refusals), func(i int, v collector.Visitor) {
		r := m.Refusals[i]
		v.String("mode", r.Rung.String())
		v.String("reason", r.Reason)
		if todo := loader.Remedy(r.Rung, r.Reason); todo != "" {
			v.String("todo", todo)
		}
	})
}

// newTable is the one look of all tables: columns without a frame.
func newTable(w io.Writer) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = 0
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = "  "
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	return t
}
