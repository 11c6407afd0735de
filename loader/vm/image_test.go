package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// packageRoot is the shape of an unpacked kernel package, with all modules.
func packageRoot(t *testing.T, kernel string) string {
	t.Helper()
	root := t.TempDir()
	write := func(name string, body []byte) {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(kernel, []byte("a kernel"))
	for _, name := range guestModules {
		write("lib/modules/6.1.0/kernel/"+name+".ko", moduleImage(t, "depends=\x00"))
	}
	return root
}

func TestMakeEntry(t *testing.T) {
	for _, kernel := range []string{"boot/vmlinuz-6.1.0", "usr/lib/modules/6.1.0/vmlinuz"} {
		dir := filepath.Join(t.TempDir(), "entry")
		if err := makeEntry(packageRoot(t, kernel), dir); err != nil {
			t.Fatal(err)
		}
		image, err := openImage(dir, stable)
		if err != nil {
			t.Fatal(err)
		}
		if image.Release != "6.1.0" || len(image.manifest.Modules) != len(guestModules) {
			t.Errorf("got %+v", image)
		}
		if body, err := os.ReadFile(image.boot()); err != nil || string(body) != "a kernel" {
			t.Errorf("kernel: %q, %v", body, err)
		}
	}
}

func TestMakeEntryWithoutKernel(t *testing.T) {
	err := makeEntry(packageRoot(t, "boot/config-6.1.0"), filepath.Join(t.TempDir(), "entry"))
	if err == nil || !strings.Contains(err.Error(), "no kernel") {
		t.Errorf("got error %v", err)
	}
}

// A damaged cache entry is one that Fetch makes anew.
func TestOpenImageRefuses(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"short file":     func(dir string) error { return os.Truncate(filepath.Join(dir, "vmlinuz"), 3) },
		"missing module": func(dir string) error { return os.Remove(filepath.Join(dir, "modules/veth.ko")) },
		"no manifest":    func(dir string) error { return os.Remove(filepath.Join(dir, manifestName)) },
		"cut manifest":   func(dir string) error { return os.Truncate(filepath.Join(dir, manifestName), 9) },
		"other modules": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, manifestName), []byte(`{"boot":"vmlinuz","wanted":["veth"]}`), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "entry")
			if err := makeEntry(packageRoot(t, "boot/vmlinuz-6.1.0"), dir); err != nil {
				t.Fatal(err)
			}
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := openImage(dir, stable); err == nil {
				t.Error("accepted the entry")
			}
		})
	}
}

func TestCacheDir(t *testing.T) {
	t.Setenv("BRINK_VM_CACHE", "/some/where")
	if dir, err := CacheDir(); err != nil || dir != "/some/where" {
		t.Errorf("got %s, %v", dir, err)
	}
	t.Setenv("BRINK_VM_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", "/else/where")
	if dir, err := CacheDir(); err != nil || dir != "/else/where/brink/vm" {
		t.Errorf("got %s, %v", dir, err)
	}
}
