package vm

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A moduleTree is the modules of an unpacked kernel package. The packages
// ship no modules.dep (depmod writes it when they are installed), so the
// dependencies come from where depmod takes them: each module's own .modinfo.
type moduleTree struct {
	files   map[string]string // module name → file, perhaps compressed
	builtin map[string]bool
}

// openModules indexes all modules below a folder.
func openModules(dir string) (*moduleTree, error) {
	tree := &moduleTree{files: map[string]string{}, builtin: map[string]bool{}}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if name, ok := moduleName(path); ok {
			tree.files[name] = path
		}
		if entry.Name() == "modules.builtin" {
			return tree.readBuiltin(path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("index modules: %w", err)
	}
	return tree, nil
}

func (t *moduleTree) readBuiltin(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := moduleName(strings.TrimSpace(line)); ok {
			t.builtin[name] = true
		}
	}
	return nil
}

// moduleName is a module file's name as the kernel spells it: nf-log.ko.xz is nf_log.
func moduleName(path string) (string, bool) {
	name, compression, ok := strings.Cut(filepath.Base(path), ".ko")
	if !ok || (compression != "" && compression != ".xz") {
		return "", false
	}
	return strings.ReplaceAll(name, "-", "_"), true
}

// A module is an uncompressed module file's content.
type module struct {
	name  string
	image []byte
}

// closure returns the wanted modules and all they depend on, dependencies
// first. What is built in needs no loading; what is in neither place is an error.
func (t *moduleTree) closure(wanted []string) ([]module, error) {
	var ordered []module
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		if seen[name] || t.builtin[name] {
			return nil
		}
		seen[name] = true
		image, err := t.load(name)
		if err != nil {
			return err
		}
		needs, err := moduleDepends(image)
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		for _, need := range needs {
			if err := add(need); err != nil {
				return fmt.Errorf("%w (needed by %s)", err, name)
			}
		}
		ordered = append(ordered, module{name, image})
		return nil
	}
	for _, name := range wanted {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return ordered, nil
}

// present drops the names that this kernel has no module for.
func (t *moduleTree) present(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return t.files[name] == ""
	})
}

func (t *moduleTree) load(name string) ([]byte, error) {
	path, ok := t.files[name]
	if !ok {
		return nil, fmt.Errorf("module %s: neither a file nor built in", name)
	}
	if strings.HasSuffix(path, ".xz") {
		return unxz(path)
	}
	return os.ReadFile(path)
}

// unxz uses the busybox that a guest needs anyway. Modules are unpacked here,
// once, because an emulated CPU would take much longer on every boot.
func unxz(path string) ([]byte, error) {
	image, err := exec.Command("busybox", "xzcat", path).Output()
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", filepath.Base(path), err)
	}
	return image, nil
}

// moduleDepends reads the "depends=a,b" record of a module's .modinfo section.
func moduleDepends(image []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no .modinfo section")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	return parseModinfo(info), nil
}

// parseModinfo picks the dependencies out of NUL-separated "key=value" records.
func parseModinfo(info []byte) []string {
	for record := range bytes.SplitSeq(info, []byte{0}) {
		if value, ok := bytes.CutPrefix(record, []byte("depends=")); ok && len(value) > 0 {
			return strings.Split(strings.ReplaceAll(string(value), "-", "_"), ",")
		}
	}
	return nil
}
