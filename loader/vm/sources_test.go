package vm

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestMachineArchive(t *testing.T) {
	const key = "/keys/debian.gpg"
	tests := map[string]struct {
		file, text string
		want       archive
	}{
		"deb822": {"sources.list.d/debian.sources", `# where it is from
Types: deb deb-src
# a comment inside a paragraph
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: ` + key + `

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`, archive{"http://mirror.example/debian/", key}},
		"continued values": {"sources.list.d/a.sources",
			"Types: deb\nURIs:\n http://one.example/debian\nSuites:\n trixie\n trixie-updates\nComponents: main\nSigned-By: " + key + "\n",
			archive{"http://one.example/debian", key}},
		"one line": {"sources.list",
			"deb-src http://no.example/debian trixie main\n# deb http://off.example/debian trixie main\n" +
				"deb [ arch=amd64 signed-by=" + key + " ] http://yes.example/debian trixie main contrib # near\n",
			archive{"http://yes.example/debian", key}},
		"disabled": {"sources.list.d/a.sources",
			"Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: sid\nComponents: main\n", fallback},
		"third party": {"sources.list", "deb http://other.example/tool tool-bookworm main\n", fallback},
		"security only": {"sources.list",
			"deb http://mirror.example/debian-security bookworm-security main\n", fallback},
		"another distribution": {"sources.list", "deb http://archive.example/ubuntu noble main\n", fallback},
		"disc":                 {"sources.list", "deb cdrom:[Debian]/debian bookworm main\n", fallback},
		"other ending":         {"sources.list.d/old.list.disabled", "deb http://old.example/debian sid main\n", fallback},
		"key in the file": {"sources.list.d/a.sources",
			"Types: deb\nURIs: http://one.example/debian\nSuites: sid\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n",
			archive{URI: "http://one.example/debian"}},
		"nothing": {"sources.list", "", fallback},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			etc := t.TempDir()
			file := filepath.Join(etc, test.file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if test.want.SignedBy == "" && fileExists(keyring) {
				test.want.SignedBy = keyring
			}
			if got := machineArchive(etc); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func FuzzSources(f *testing.F) {
	f.Add("deb [a=b] http://x/debian sid main")
	f.Add("deb [")
	f.Add("Types: deb\n continued\nURIs: a b\n\n : \n")
	f.Fuzz(func(_ *testing.T, text string) {
		parseOneLine(text)
		parseDeb822(text)
	})
}

func TestKernelDepends(t *testing.T) {
	tests := map[string][]string{
		"linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)": {"linux-image-6.1.0-50-cloud-amd64"},
		"linux-base-cloud-amd64 (= 7.2.13-1), linux-image-7.2.13+deb14-cloud-amd64 (= 7.2.13-1)": {
			"linux-image-7.2.13+deb14-cloud-amd64"},
		"dracut | linux-initramfs-tool, linux-base (>= 4.17~), linux-binary-7.2.13+deb14-cloud-amd64, linux-modules-7.2.13+deb14-cloud-amd64": {
			"linux-binary-7.2.13+deb14-cloud-amd64", "linux-modules-7.2.13+deb14-cloud-amd64"},
		"": nil, ",": nil,
	}
	for depends, want := range tests {
		if got := kernelDepends(depends); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", depends, got, want)
		}
	}
}
