package collector

import (
	"errors"
	"os"

	"brink/collector/sockdiag"
)

// Preexisting lists the TCP sockets that are there already, in every network
// namespace that has a process. Asking gives each its cookie, which the kernel
// programs report at its end.
func Preexisting() ([]Known, error) {
	var known []Known
	var firstErr error
	cgroups := map[uint32]uint64{} // a process has many sockets
	for netns, path := range sockdiag.Namespaces() {
		sockets, err := sockdiag.Dump(sockdiag.Query{NetnsPath: path})
		if err != nil {
			if firstErr == nil && !errors.Is(err, os.ErrNotExist) { // that one went away
				firstErr = err
			}
			continue
		}
		owners := sockdiag.Owners(inodesOf(sockets))
		for _, s := range sockets {
			process := owners[s.Inode]
			if _, seen := cgroups[process.PID]; !seen && process.PID != 0 {
				cgroups[process.PID] = CgroupOf(process.PID)
			}
			known = append(known, knownOf(s, process, cgroups[process.PID], netns))
		}
	}
	return known, firstErr
}

func knownOf(s sockdiag.Socket, p sockdiag.Process, cgroup uint64, netns uint32) Known {
	k := Known{
		Cookie: s.Cookie, State: State(s.State), Local: s.Local, Peer: peerOf(s), Netns: netns,
		Owner: Owner{PID: p.PID, UID: s.UID, Cgroup: cgroup},
	}
	copy(k.Owner.Comm[:], p.Name)
	return k
}
