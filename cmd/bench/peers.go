package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"brink/loader/vm"

	"github.com/cilium/ebpf/btf"
)

// peersPackages have the tools that people use today for what brink tells:
// libbpf-tools' tcplife, tcpstates and others, in C with libbpf; and all that
// these are linked with, so that they run on any host and in a guest. The older
// tools in Python (bpfcc-tools) need kprobes, and a compiler on the host.
var peersPackages = []string{"libbpf-tools", "libc6", "libelf1", "zlib1g"}

// scriptPackages have bpftrace, and what it is linked with: Clang, LLVM and theirs.
// Its tcplife.bt needs kprobes, so that these 58 MB are for guests alone.
var scriptPackages = []string{
	"bpftrace", "libbpf1", "libbpfcc", "libbsd0", "libbz2-1.0", "libclang1-14", "libdw1", "libedit2", "libffi8", "libgcc-s1",
	"libicu72", "libllvm14", "liblzma5", "libmd0", "libstdc++6", "libtinfo6", "libxml2", "libz3-4",
}

// peersSuite is the Debian release that they come from.
const peersSuite = "bookworm"

// peers are the tools in a folder; its root is empty where there are none.
type peers struct{ root string }

// Places in a Debian system for amd64 that count here.
const (
	peerPrograms = "usr/sbin"
	peerLinker   = "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
	peerScript   = "usr/sbin/tcplife.bt"
	peerBpftrace = "usr/bin/bpftrace"
)

var peerLibraries = []string{"lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"}

// tracers are those that this kernel can run and that are there: those after the first
// two need functions to be hooked.
func (p peers) tracers() []tracer {
	if p.root == "" {
		return nil
	}
	list := []tracer{p.tracer(tcplife, lifeLines), p.tracer(tcpstates, endLines)}
	if _, err := os.Stat("/sys/bus/event_source/devices/kprobe"); err != nil {
		return list
	}
	connect := p.tracer(tcpconnect, lifeLines)
	connect.ends = 1
	list = append(list, connect, p.tracer(tcptracer, closeLines))
	if hasFreebind() {
		list = append(list, p.tracer(bindsnoop, nil)) // no load binds, but for its listeners
	}
	if script := filepath.Join(p.root, peerScript); exists(script) {
		// bpftrace looks for its BEGIN in /proc/self/exe: no other linker can start it.
		args := []string{filepath.Join(p.root, peerBpftrace), script}
		list = append(list, tracer{name: tcplifeBT, tracefs: true, lines: lifeLines, args: args})
	}
	return list
}

// hasFreebind: Debian's bindsnoop reads inet_sock.freebind, which went into inet_flags
// with 6.6, and does not load without it.
func hasFreebind() bool {
	var sock *btf.Struct
	kernel, err := btf.LoadKernelSpec()
	if err != nil || kernel.TypeByName("inet_sock", &sock) != nil {
		return false
	}
	return slices.ContainsFunc(sock.Members, func(m btf.Member) bool { return m.Name == "freebind" })
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// tracer is one of the tools, started by the dynamic linker beside it.
func (p peers) tracer(name string, lines func(string, *prepared) (int, error)) tracer {
	path := filepath.Join(p.root, peerLibraries[0]) + ":" + filepath.Join(p.root, peerLibraries[1])
	return tracer{
		name: name, tracefs: true, lines: lines,
		args: []string{filepath.Join(p.root, peerLinker), "--library-path", path, filepath.Join(p.root, peerPrograms, name)},
	}
}

// fetchPeers unpacks packages into the user's cache, unless they are there.
// Nothing is installed: the host stays as it is.
func fetchPeers(ctx context.Context, folder string, packages []string) (p peers, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return p, fmt.Errorf("find the cache folder: %w", err)
	}
	dir := filepath.Join(cache, "brink", "bench")
	root := filepath.Join(dir, peersSuite+folder)
	if exists(root) {
		return peers{root}, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return p, err
	}
	work, err := os.MkdirTemp(dir, ".fetch-")
	if err != nil {
		return p, err
	}
	defer os.RemoveAll(work)
	made := filepath.Join(work, "root")
	if err := vm.Unpack(ctx, work, made, peersSuite, packages...); err != nil {
		return p, fmt.Errorf("fetch %v: %w", packages, err)
	}
	return peers{root}, os.Rename(made, root)
}
