package collector

import (
	"strings"
	"testing"
)

func TestContainerID(t *testing.T) {
	id, other := strings.Repeat("0123456789abcdef", 4), strings.Repeat("f", 64)
	for cgroup, want := range map[string]string{
		"/system.slice/docker-" + id + ".scope": id,
		"/docker/" + id:                         id,
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-" + id + ".scope": id,
		"/kubepods/besteffort/pod12/" + id:                 id,
		"/machine.slice/libpod-" + id + ".scope/container": id,
		"/kubepods.slice/crio-" + id + ".scope":            id,
		"/docker/" + id + "/docker/" + other:               other,
		"/system.slice/nginx.service":                      "",
		"/docker/" + id[:63]:                               "",
		"/docker/" + id[:63] + "g":                         "",
		"/":                                                "",
		"":                                                 "",
	} {
		equal(t, cgroup, ContainerID(cgroup), want)
	}
}
