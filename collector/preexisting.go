package collector

import (
	"errors"
	"maps"
	"os"

	"brink/collector/limits"
	"brink/collector/sockdiag"
)

// Preexisting lists the TCP sockets that are there already, in every network
// namespace that has a process. Asking gives each its cookie, which the kernel
// programs report at its end.
func Preexisting() ([]Known, error) { return preexisting(sockdiag.Query{}, sockdiag.Owners) }

// PreexistingListeners lists the listeners alone, in a time that does not depend
// on the number of connections.
func PreexistingListeners() ([]Known, error) {
	return preexisting(sockdiag.Query{States: 1 << Listen}, limits.Owners)
}

func preexisting(q sockdiag.Query, find func(map[uint32]bool) map[uint32]sockdiag.Process) (known []Known, firstErr error) {
	there := map[uint32][]sockdiag.Socket{}
	inodes := map[uint32]bool{}
	for netns, path := range sockdiag.Namespaces() {
		q.NetnsPath = path
		sockets, err := sockdiag.Dump(q)
		if err != nil {
			if firstErr == nil && !errors.Is(err, os.ErrNotExist) { // that one went away
				firstErr = err
			}
			continue
		}
		there[netns] = sockets
		maps.Copy(inodes, inodesOf(sockets))
	}
	owners := find(inodes)         // in one walk over all processes, not in one a namespace
	cgroups := map[uint32]uint64{} // a process has many sockets
	for netns, sockets := range there {
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
