package collector

import "strings"

// ContainerID is the container that a cgroup belongs to, or empty: the 64
// hexadecimal digits that container runtimes put into the path (docker-ID.scope,
// cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, /docker/ID). The
// innermost counts where containers run inside one another.
func ContainerID(cgroup string) string {
	segments := strings.Split(cgroup, "/")
	for i := len(segments) - 1; i >= 0; i-- {
		name := strings.TrimSuffix(segments[i], ".scope")
		if id := name[strings.LastIndexByte(name, '-')+1:]; isContainerID(id) {
			return id
		}
	}
	return ""
}

func isContainerID(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
