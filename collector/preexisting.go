package collector

import "brink/collector/sockdiag"

// Preexisting lists the TCP sockets that are there already, in every network
// namespace that has a process. Asking gives each its cookie, which the kernel
// programs report at its end.
func Preexisting() ([]Known, error) {
	var known []Known
	var firstErr error
	for netns, path := range sockdiag.Namespaces() {
		sockets, err := sockdiag.Dump(sockdiag.Query{NetnsPath: path})
		if err != nil {
			if firstErr == nil {
				firstErr = err
			}
			continue // the namespace went away, or is not ours to enter
		}
		owners := sockdiag.Owners(inodesOf(sockets))
		for _, s := range sockets {
			known = append(known, knownOf(s, owners[s.Inode], netns))
		}
	}
	return known, firstErr
}

func knownOf(s sockdiag.Socket, p sockdiag.Process, netns uint32) Known {
	k := Known{
		Cookie: s.Cookie, State: State(s.State), Local: s.Local, Peer: peerOf(s), Netns: netns,
		Owner: Owner{PID: p.PID, UID: s.UID},
	}
	copy(k.Owner.Comm[:], p.Name)
	return k
}
