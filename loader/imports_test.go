package loader

import (
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport is the one direction of imports: what a package, or any below it,
// may import of this module besides what lies below itself; "..." adds all below
// a name. The longest row that fits counts. cmd may import everything and has
// none.
var mayImport = map[string][]string{
	"brink/bpf":                {},
	"brink/loader":             {"brink/bpf"},
	"brink/loader/vm":          {},
	"brink/collector":          {"brink/bpf"},
	"brink/collector/sockdiag": {},
	"brink/collector/portrule": {},
	"brink/collector/limits":   {"brink/collector/sockdiag", "brink/bpf"},
	"brink/collector/diagnosis": {
		"brink/collector", "brink/collector/limits", "brink/collector/portrule", "brink/collector/sockdiag",
	},
	"brink/collector/jsonl":    {"brink/collector"},
	"brink/collector/ledger":   {"brink/collector", "brink/collector/sockdiag"},
	"brink/collector/memory":   {"brink/collector", "brink/collector/limits"},
	"brink/collector/metrics":  {"brink/collector", "brink/collector/limits", "brink/bpf"},
	"brink/collector/otlp":     {"brink/collector"},
	"brink/collector/text":     {"brink/collector"},
	"brink/collector/tui":      {"brink/collector"},
	"brink/experiments":        {"brink/collector/..."},
	"brink/experiments/lab":    {},
	"brink/experiments/report": {"brink/experiments", "brink/collector"},
	"brink/experiments/theory": {},
}

func TestImportsGoOneWay(t *testing.T) {
	for name, imports := range packages(t) {
		if strings.HasPrefix(name, "brink/cmd/") {
			continue
		}
		row, ok := rowOf(name)
		if !ok {
			t.Errorf("%s is new: say in mayImport what it may import", name)
			continue
		}
		for _, imported := range imports {
			if !strings.HasPrefix(imported, "brink/") || below(row, imported) || allowed(row, imported) {
				continue
			}
			t.Errorf("%s must not import %s", name, imported)
		}
	}
}

// The loader and the collector meet in cmd alone, also by detours.
func TestLoaderAndCollectorNeverMeet(t *testing.T) {
	imports := packages(t)
	for name := range imports {
		for _, pair := range [][2]string{{"brink/loader", "brink/collector"}, {"brink/collector", "brink/loader"}} {
			if below(pair[0], name) && reaches(imports, name, pair[1]) {
				t.Errorf("%s reaches %s", name, pair[1])
			}
		}
	}
}

func reaches(imports map[string][]string, from, to string) bool {
	return slices.ContainsFunc(imports[from], func(next string) bool {
		return below(to, next) || reaches(imports, next, to)
	})
}

func rowOf(name string) (row string, ok bool) {
	for candidate := range mayImport {
		if below(candidate, name) && len(candidate) > len(row) {
			row = candidate
		}
	}
	return row, row != ""
}

func allowed(row, imported string) bool {
	return slices.ContainsFunc(mayImport[row], func(name string) bool {
		parent, all := strings.CutSuffix(name, "/...")
		return name == imported || all && below(parent, imported)
	})
}

// below reports whether a package is the given one or lies below it.
func below(parent, name string) bool {
	return name == parent || strings.HasPrefix(name, parent+"/")
}

// packages maps each package of the module to what it imports outside tests.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	dependOnSources(t)
	list := exec.Command("go", "list", "-e", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "brink/...")
	var stderr strings.Builder
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", list, err, &stderr)
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 0 {
			imports[fields[0]] = fields[1:]
		}
	}
	if len(imports["brink/loader"]) == 0 || len(imports["brink/collector"]) == 0 {
		t.Fatalf("go list says %q", out)
	}
	return imports
}

// dependOnSources opens the module's folders, so that go test's cache knows
// that this test read them; what `go list` reads it does not see.
func dependOnSources(t *testing.T) {
	t.Helper()
	for _, root := range []string{"../bpf", "../collector", "../experiments", "../loader"} {
		err := filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == "testdata" {
				return fs.SkipDir
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
