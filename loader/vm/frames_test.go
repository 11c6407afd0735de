package vm

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// framesGuest is what the decoder tests' frames answer to.
func framesGuest(live io.Writer) Guest {
	return Guest{Commands: []Command{Shell("a"), Shell("b")}, Fetch: []string{"/f"}, Output: live}
}

const wholeRun = "@up 6.1.0\n@begin 0\n|one\n|\n|two\n|\n@exit 0 0\n@begin 1\n|@done\n@exit 1 3\n" +
	"@file 0 5\n|aGVs\n|bG8=\n@end\n@done\n"

func TestDecode(t *testing.T) {
	var live strings.Builder
	var r Result
	d := newDecoder(framesGuest(&live), &r, time.Now())
	if err := d.decode(strings.NewReader(wholeRun)); err != nil {
		t.Fatal(err)
	}
	if r.Release != "6.1.0" || r.Boot <= 0 || string(r.Files["/f"]) != "hello" {
		t.Errorf("got %+v", r)
	}
	if a, b := r.Commands[0], r.Commands[1]; a.Output != "one\n\ntwo\n" || a.Status != 0 || b.Output != "@done" || b.Status != 3 {
		t.Errorf("got %+v and %+v", a, b)
	}
	if want := "one\n\ntwo\n@done\n"; live.String() != want {
		t.Errorf("live output %q, want %q", live.String(), want)
	}
	if failed := r.Failed(); len(failed) != 1 || failed[0].Status != 3 {
		t.Errorf("failed: %+v", failed)
	}
}

// Every early end of a good run is an error, and keeps what came.
func TestDecodeTruncated(t *testing.T) {
	for end := range len(wholeRun) {
		var r Result
		d := newDecoder(framesGuest(io.Discard), &r, time.Now())
		if err := d.decode(strings.NewReader(wholeRun[:end])); !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at %d: error %v", end, err)
		}
		if strings.Count(wholeRun[:end], "@begin ") > 0 && end > 20 && len(r.Commands) == 0 {
			t.Errorf("cut at %d: the open command was lost", end)
		}
	}
}

func TestDecodeDamaged(t *testing.T) {
	for name, frames := range map[string]string{
		"output outside a command": "|x\n",
		"stray text":               "@begin 0\nx\n",
		"empty line":               "\n",
		"wrong order":              "@begin 1\n",
		"nested":                   "@begin 0\n@begin 1\n",
		"exit of another":          "@begin 0\n@exit 1 0\n",
		"no status":                "@begin 0\n@exit 0 \n",
		"one too many":             "@begin 0\n@exit 0 0\n@begin 1\n@exit 1 0\n@begin 2\n",
		"unasked file":             "@file 1 0\n",
		"negative file":            "@file -1 0\n",
		"short file":               "@file 0 6\n|aGVsbG8=\n@end\n",
		"not base64":               "@file 0 5\n|?\n@end\n",
		"end of nothing":           "@end\n",
		"early done":               "@begin 0\n@exit 0 0\n@done\n",
		"done in a command":        "@begin 0\n@exit 0 0\n@begin 1\n@done\n",
	} {
		t.Run(name, func(t *testing.T) {
			var r Result
			d := newDecoder(framesGuest(io.Discard), &r, time.Now())
			if err := d.decode(strings.NewReader("@up 6\n" + frames)); !errors.Is(err, ErrTruncated) {
				t.Errorf("got error %v", err)
			}
		})
	}
}

func TestDecodeSetupFailure(t *testing.T) {
	var r Result
	d := newDecoder(framesGuest(io.Discard), &r, time.Now())
	err := d.decode(strings.NewReader("@fail insmod a.ko: no such file\n"))
	if !errors.Is(err, ErrSetup) || !strings.Contains(err.Error(), "insmod a.ko") {
		t.Errorf("got error %v", err)
	}
}

// FuzzDecode holds that no input makes the decoder fail other than by an
// error, and that success always means a whole result.
func FuzzDecode(f *testing.F) {
	f.Add(wholeRun)
	f.Add("@up 6\n@begin 0\n|a\n@exit 0 0\n@begin 1\n@exit 1 255\n@done\n")
	f.Add("@file 0 -1\n@end\n@done")
	f.Add("@begin 0\n\n\n@exit 0 0 0\n")
	f.Add("@fail")
	f.Fuzz(func(t *testing.T, frames string) {
		var r Result
		g := framesGuest(io.Discard)
		err := newDecoder(g, &r, time.Now()).decode(strings.NewReader(frames))
		if err == nil && len(r.Commands) != len(g.Commands) {
			t.Errorf("success with %d of %d commands", len(r.Commands), len(g.Commands))
		}
		if len(r.Commands) > len(g.Commands) || len(r.Files) > len(g.Fetch) {
			t.Errorf("more results than asked for: %+v", r)
		}
	})
}

func TestVerdict(t *testing.T) {
	over, cancel := context.WithCancelCause(t.Context())
	cancel(ErrHang)
	cut, broken := error(ErrTruncated), errors.New("qemu: exit status 1")
	for name, test := range map[string]struct {
		ctx            context.Context
		decoded, ended error
		console        string
		want           error
	}{
		"well":            {t.Context(), nil, nil, "", nil},
		"slow power-off":  {t.Context(), nil, broken, "", nil},
		"late cancel":     {over, nil, nil, "", nil},
		"hang":            {over, cut, broken, "", ErrHang},
		"panic":           {t.Context(), cut, nil, "Kernel panic - not syncing", ErrPanic},
		"cut off":         {t.Context(), cut, nil, "", ErrTruncated},
		"qemu's own end":  {t.Context(), cut, broken, "", broken},
		"a step went bad": {t.Context(), ErrSetup, nil, "", ErrSetup},
	} {
		if got := verdict(test.ctx, test.decoded, test.ended, test.console); !errors.Is(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestPanicSaysWhy(t *testing.T) {
	console := "[1.0] fine\r\n[2.0] Kernel panic - not syncing: sysrq triggered crash\r\n[2.1]  do_syscall_64\r\n"
	err := verdict(t.Context(), ErrTruncated, nil, console)
	if want := "Kernel panic - not syncing: sysrq triggered crash\n"; !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
}

func TestReport(t *testing.T) {
	var out strings.Builder
	good := Result{Kernel: Kernels[0], Release: "5.10.0", Commands: []CommandResult{{Command: Shell("true")}}}
	bad := Result{Kernel: Kernels[1], Commands: []CommandResult{{Command: Command{Args: []string{"x", "y"}, Env: []string{"A=1"}}, Status: 2}}}
	if !Report(&out, []Result{good}) || Report(&out, []Result{good, bad}) || Report(&out, nil) || Report(&out, []Result{{}}) {
		t.Error("wrong verdict")
	}
	if !strings.Contains(out.String(), "status 2 after 0s: A=1 x y") {
		t.Errorf("report:\n%s", &out)
	}
}
