package vm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// An Image is a kernel ready to boot: an entry of the cache.
type Image struct {
	Kernel  Kernel
	Release string // uname -r: "6.1.0-50-cloud-amd64"

	dir      string
	manifest manifest
}

// The manifest makes a cache entry checkable without opening what it lists:
// an entry that a full disk or a cleaner has cut short is fetched anew.
type manifest struct {
	Release string           `json:"release"`
	Boot    string           `json:"boot"`    // the file to give QEMU
	Wanted  []string         `json:"wanted"`  // the modules asked for at the time
	Modules []string         `json:"modules"` // those and what they need, in load order
	Sizes   map[string]int64 `json:"sizes"`
}

const manifestName = "manifest.json"

// boot is the kernel file for QEMU.
func (i Image) boot() string { return filepath.Join(i.dir, i.manifest.Boot) }

// module is the file of one module, uncompressed.
func (i Image) module(name string) string { return filepath.Join(i.dir, "modules", name+".ko") }

// openImage returns the cache entry of a kernel, or an error that says why
// there is none to use.
func openImage(dir string, k Kernel) (Image, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return Image{}, err
	}
	image := Image{Kernel: k, dir: dir}
	if err := json.Unmarshal(text, &image.manifest); err != nil {
		return Image{}, fmt.Errorf("cache entry %s: %w", dir, err)
	}
	image.Release = image.manifest.Release
	// A newer harness may want modules that an older one did not keep.
	if !slices.Equal(image.manifest.Wanted, wantedModules()) {
		return Image{}, fmt.Errorf("cache entry %s: made for other modules", dir)
	}
	for name, size := range image.manifest.Sizes {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return Image{}, fmt.Errorf("cache entry: %w", err)
		}
		if info.Size() != size {
			return Image{}, fmt.Errorf("cache entry: %s has %d bytes, want %d", name, info.Size(), size)
		}
	}
	return image, nil
}

func wantedModules() []string { return slices.Concat(guestModules, mergedModules) }

// writeManifest ends the making of a cache entry: it notes the sizes of all
// files below dir.
func writeManifest(dir string, m manifest) error {
	m.Sizes = map[string]int64{}
	files, err := filepath.Glob(filepath.Join(dir, "modules", "*.ko"))
	if err != nil {
		return err
	}
	for _, file := range append(files, filepath.Join(dir, m.Boot)) {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		m.Sizes[name] = info.Size()
	}
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifestName), append(text, '\n'), 0o644)
}
