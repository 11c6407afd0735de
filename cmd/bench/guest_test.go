package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"brink/loader/vm"
)

// The guest gets each tool with all that it is linked with, and no more.
func TestPeersFilesForAGuest(t *testing.T) {
	p := peers{t.TempDir()}
	put := func(name string) {
		file := filepath.Join(p.root, name)
		noError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		noError(t, os.WriteFile(file, []byte(name), 0o755))
	}
	for _, name := range []string{
		peerLinker, "lib/x86_64-linux-gnu/libc.so.6", "lib/x86_64-linux-gnu/libz.so.1", "usr/lib/x86_64-linux-gnu/libelf.so.1",
		"usr/sbin/tcplife", "usr/sbin/tcpstates", "usr/sbin/tcpconnect", "usr/sbin/tcptracer", "usr/sbin/other",
	} {
		put(name)
	}
	files, err := p.files()
	noError(t, err)
	equal(t, "files", len(files), 8)
	for _, path := range (peers{guestPeers}).tracer(tcplife, nil).args {
		if filepath.Base(path) == tcplife || path == filepath.Join(guestPeers, peerLinker) {
			found := slices.ContainsFunc(files, func(f vm.File) bool { return f.Path == path && len(f.Data) > 0 })
			equal(t, path+" is there", found, true)
		}
	}
	noError(t, os.Remove(filepath.Join(p.root, "lib/x86_64-linux-gnu/libz.so.1")))
	if _, err := p.files(); err == nil {
		t.Error("a tool without its library passed")
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
