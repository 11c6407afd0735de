package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"brink/loader/vm"
)

// The guest gets each tool with all that it, and what it is linked with, is linked with.
func TestPeersFilesForAGuest(t *testing.T) {
	host := peers{"/"}
	if _, err := os.Stat("/" + peerLinker); err != nil {
		t.Skip("this host is no Debian for amd64: no program here is linked as the peers are")
	}
	p := peers{t.TempDir()}
	put := func(name string, body []byte) {
		file := filepath.Join(p.root, name)
		noError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		noError(t, os.WriteFile(file, body, 0o755))
	}
	linked, err := os.ReadFile("/usr/bin/ls") // with libselinux, and by that with libpcre2
	noError(t, err)
	for _, name := range []string{"tcplife", "tcpstates", "tcpconnect", "tcptracer", "bindsnoop", "other"} {
		put(filepath.Join(peerPrograms, name), linked)
	}
	put(peerBpftrace, linked)
	put(peerScript, []byte("BEGIN {}"))
	if _, err := p.files(); err == nil {
		t.Error("a tool without its libraries passed")
	}
	p.copyLibraries(t, host, linked)
	files, err := p.files()
	noError(t, err)
	paths := map[string]bool{}
	for _, f := range files {
		paths[f.Path] = len(f.Data) > 0
	}
	for _, want := range []string{"/" + programLinker, "/" + peerScript, "/usr/include/sys/socket.h"} {
		equal(t, want+" is there", paths[want], true)
	}
	equal(t, "what nobody asked for is there", paths["/usr/sbin/other"], false)
	for _, path := range (peers{guestPeers}).tracer(tcplife, nil).args {
		if filepath.Base(path) == tcplife || path == filepath.Join(guestPeers, peerLinker) {
			equal(t, path+" is there", paths[path], true)
		}
	}
	libc := slices.ContainsFunc(files, func(f vm.File) bool { return filepath.Base(f.Path) == "libc.so.6" })
	equal(t, "libc is there", libc, true)
}

// copyLibraries brings what a program is linked with from a host, and its linker.
func (p peers) copyLibraries(t *testing.T, host peers, program []byte) {
	t.Helper()
	libraries, err := host.linkedWith(program)
	noError(t, err)
	for _, name := range append(libraries, peerLinker) {
		to := filepath.Join(p.root, name)
		if exists(to) {
			continue
		}
		body, err := os.ReadFile(filepath.Join(host.root, name))
		noError(t, err)
		noError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		noError(t, os.WriteFile(to, body, 0o755))
		p.copyLibraries(t, host, body)
	}
}

func TestGuestGoals(t *testing.T) {
	b := &benchmark{rounds: someRounds(map[string]float64{agent + "/fentry": 4, agent + "/kprobe": 12, tcplife: 50})}
	for _, name := range []string{untraced, agent + "/fentry", agent + "/kprobe", tcplife} {
		b.tracers = append(b.tracers, tracer{name: name})
	}
	var met []bool
	for _, g := range guestGoals(b.rowsOf()) {
		met = append(met, g.Met)
	}
	if !slices.Equal(met, []bool{true, false, false}) { // 4/50, 12/50, 12/4
		t.Errorf("met: %v", met)
	}
}
