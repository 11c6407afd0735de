package vm

import (
	"bufio"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// An archive is where Debian's packages come from and what signs them.
type archive struct {
	URI      string
	SignedBy string // keyring file; empty leaves it to apt's own trust
}

// fallback is used where apt knows no Debian archive, as on another
// distribution. deb.debian.org is the name that Debian gives for this.
var fallback = archive{URI: "http://deb.debian.org/debian"}

// keyring is where Debian's package debian-archive-keyring puts its keys.
// Those of one release sign the next ones and sid, too.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// machineArchive is the Debian archive that this machine's apt uses, so that
// a mirror close by, or the only one reachable, serves the kernels as well.
func machineArchive(etc string) archive {
	found := fallback
	for _, a := range readSources(etc) {
		if a.isDebian() {
			found = a.archive
			break
		}
	}
	if found.SignedBy == "" && fileExists(keyring) {
		found.SignedBy = keyring
	}
	return found
}

// readSources returns every source of binary packages below an etc/apt folder.
func readSources(etc string) []source {
	files := []string{filepath.Join(etc, "sources.list")}
	more, _ := filepath.Glob(filepath.Join(etc, "sources.list.d", "*")) // only a bad pattern errs
	var all []source
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // absent, or not for us to read: apt itself will say so
		}
		switch filepath.Ext(file) {
		case ".list":
			all = append(all, parseOneLine(string(text))...)
		case ".sources":
			all = append(all, parseDeb822(string(text))...)
		}
	}
	return all
}

// A source is one archive with the suites and components taken from it.
type source struct {
	archive
	Suites     []string
	Components []string
}

// debianSuites are the names by which the main archive is recognised: a
// third party's archive has its own suite names.
var debianSuites = []string{
	"bullseye", "bookworm", "trixie", "forky", "duke", "sid",
	"oldoldstable", "oldstable", "stable", "testing", "unstable",
}

// isDebian tells the main archive from Debian's security archive, which has
// other suites ("bookworm-security"), and from third parties.
func (s source) isDebian() bool {
	suite := slices.ContainsFunc(s.Suites, func(name string) bool {
		return slices.Contains(debianSuites, name)
	})
	base := path.Base(strings.TrimRight(s.URI, "/"))
	return suite && slices.Contains(s.Components, "main") && strings.HasPrefix(base, "debian") &&
		!strings.Contains(base, "security") && !strings.HasPrefix(s.URI, "cdrom:")
}

// parseOneLine reads the classic format of sources.list(5):
//
//	deb [option=value …] URI suite component …
func parseOneLine(text string) []source {
	var all []source
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == "" || !strings.ContainsAny(rest[:1], " \t[") {
			continue // empty, a comment or deb-src
		}
		options, rest := cutOptions(strings.TrimSpace(rest))
		if fields := strings.Fields(rest); len(fields) >= 2 {
			all = append(all, source{
				archive:    archive{URI: fields[0], SignedBy: signedBy(options)},
				Suites:     fields[1:2],
				Components: fields[2:],
			})
		}
	}
	return all
}

// cutOptions splits "[a=b c=d] rest" into its options and the rest.
func cutOptions(line string) (options []string, rest string) {
	inner, ok := strings.CutPrefix(line, "[")
	if !ok {
		return nil, line
	}
	inside, rest, _ := strings.Cut(inner, "]")
	return strings.Fields(inside), rest
}

func signedBy(options []string) string {
	for _, option := range options {
		if key, value, _ := strings.Cut(option, "="); strings.EqualFold(key, "signed-by") {
			return keyFile(value)
		}
	}
	return ""
}

// keyFile accepts a keyring's path only: fingerprints and keys written into
// the sources file name no file that another sources file could refer to.
func keyFile(value string) string {
	if strings.HasPrefix(value, "/") && !strings.ContainsAny(value, " ,\n") {
		return value
	}
	return ""
}

// parseDeb822 reads the format of *.sources: paragraphs of "Key: values".
func parseDeb822(text string) []source {
	var all []source
	for _, paragraph := range paragraphs(text) {
		if !slices.Contains(strings.Fields(paragraph["types"]), "deb") ||
			strings.EqualFold(paragraph["enabled"], "no") {
			continue
		}
		for _, uri := range strings.Fields(paragraph["uris"]) {
			all = append(all, source{
				archive:    archive{URI: uri, SignedBy: keyFile(paragraph["signed-by"])},
				Suites:     strings.Fields(paragraph["suites"]),
				Components: strings.Fields(paragraph["components"]),
			})
		}
	}
	return all
}

// paragraphs splits deb822 text into maps with lower-case keys. Lines that
// begin with a space continue the value before; comments may stand anywhere.
func paragraphs(text string) []map[string]string {
	var all []map[string]string
	var current map[string]string
	var key string
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20) // a Depends line can be long
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			current, key = nil, ""
		case line[0] == ' ' || line[0] == '\t':
			if key != "" {
				current[key] += "\n" + strings.TrimSpace(line)
			}
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				continue
			}
			if current == nil {
				current = map[string]string{}
				all = append(all, current)
			}
			key = strings.ToLower(strings.TrimSpace(name))
			current[key] = strings.TrimSpace(value)
		}
	}
	return all
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
