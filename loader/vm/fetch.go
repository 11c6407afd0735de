package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// CacheDir is where fetched kernels stay: $BRINK_VM_CACHE, or brink/vm below
// the user's cache folder.
func CacheDir() (string, error) {
	if dir := os.Getenv("BRINK_VM_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache folder: %w (set BRINK_VM_CACHE)", err)
	}
	return filepath.Join(dir, "brink", "vm"), nil
}

// Fetch returns a kernel from the cache, and downloads it first when it is not
// there. To get a suite's newer kernel, remove its folder from the cache.
func Fetch(ctx context.Context, k Kernel) (Image, error) {
	cache, err := CacheDir()
	if err != nil {
		return Image{}, err
	}
	entry := filepath.Join(cache, k.Suite)
	if image, err := openImage(entry, k); err == nil {
		return image, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Image{}, fmt.Errorf("make cache: %w", err)
	}
	unlock, err := LockFile(filepath.Join(cache, "."+k.Suite+".lock"))
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	if image, err := openImage(entry, k); err == nil {
		return image, nil // another process fetched it while we waited
	}
	if err := fetchInto(ctx, entry, k); err != nil {
		return Image{}, fmt.Errorf("fetch kernel %s: %w", k, err)
	}
	return openImage(entry, k)
}

// fetchInto makes a cache entry beside its place and renames it there, so
// that an interrupted fetch leaves nothing that looks complete.
func fetchInto(ctx context.Context, entry string, k Kernel) error {
	work, err := os.MkdirTemp(filepath.Dir(entry), "."+k.Suite+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	root := filepath.Join(work, "root")
	if err := unpackPackages(ctx, work, root, k.Suite); err != nil {
		return err
	}
	made := filepath.Join(work, "entry")
	if err := makeEntry(root, made); err != nil {
		return err
	}
	if err := os.RemoveAll(entry); err != nil {
		return err
	}
	return os.Rename(made, entry)
}

// unpackPackages downloads a suite's kernel packages and unpacks them to root.
func unpackPackages(ctx context.Context, work, root, suite string) error {
	apt, err := newAPT(filepath.Join(work, "apt"), suite, machineArchive("/etc/apt"))
	if err != nil {
		return err
	}
	if err := apt.update(ctx); err != nil {
		return err
	}
	packages, err := apt.kernelPackages(ctx)
	if err != nil {
		return err
	}
	return apt.unpack(ctx, packages, root)
}

// makeEntry keeps the kernel and the modules that guests may want, which is a
// quarter of what the packages hold.
func makeEntry(root, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "modules"), 0o755); err != nil {
		return err
	}
	vmlinuz, release, err := findKernel(root)
	if err != nil {
		return err
	}
	boot, err := keepKernel(vmlinuz, dir)
	if err != nil {
		return err
	}
	tree, err := openModules(root)
	if err != nil {
		return err
	}
	modules, err := tree.closure(slices.Concat(guestModules, tree.present(mergedModules)))
	if err != nil {
		return err
	}
	m := manifest{Release: release, Boot: boot, Wanted: wantedModules()}
	for _, mod := range modules {
		m.Modules = append(m.Modules, mod.name)
		if err := os.WriteFile(filepath.Join(dir, "modules", mod.name+".ko"), mod.image, 0o644); err != nil {
			return err
		}
	}
	return writeManifest(dir, m)
}

// findKernel finds the kernel file: boot/vmlinuz-RELEASE, or from the split
// packages on usr/lib/modules/RELEASE/vmlinuz.
func findKernel(root string) (file, release string, err error) {
	if found, _ := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*")); len(found) == 1 {
		return found[0], strings.TrimPrefix(filepath.Base(found[0]), "vmlinuz-"), nil
	}
	if found, _ := filepath.Glob(filepath.Join(root, "usr/lib/modules/*/vmlinuz")); len(found) == 1 {
		return found[0], filepath.Base(filepath.Dir(found[0])), nil
	}
	return "", "", errors.New("no kernel in the packages: has their layout changed?")
}

// keepKernel puts the kernel into the entry: unpacked, or as it is where the
// host has no tool to unpack it. Both boot; the one is only faster.
func keepKernel(vmlinuz, dir string) (name string, err error) {
	if unpackKernel(vmlinuz, filepath.Join(dir, "vmlinux")) == nil {
		return "vmlinux", nil
	}
	image, err := os.ReadFile(vmlinuz)
	if err != nil {
		return "", err
	}
	return "vmlinuz", os.WriteFile(filepath.Join(dir, "vmlinuz"), image, 0o644)
}

// LockFile waits for an exclusive lock, which the kernel drops also when the
// process is killed.
func LockFile(name string) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() { file.Close() }, nil
}
