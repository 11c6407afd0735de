package collector

import (
	"strings"
	"testing"
)

const (
	anID    = "3f4e8c1a9b7d6e5f4c3b2a190807f6e5d4c3b2a19f8e7d6c5b4a39281706f5e4"
	innerID = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
	podUID  = "0e9b8f4b-5f0c-4c7e-9d53-0a8f5a1f2c3d"
)

// Paths as these programs make them: Docker 20 and 27, containerd 1.7 and 2, CRI-O
// 1.30, podman 4 and 5, k3s, systemd 252 to 257.
var places = []struct {
	cgroup string
	want   Place
}{
	{"/system.slice/docker-" + anID + ".scope", Place{ContainerID: anID, Runtime: "docker", Slice: "system.slice"}},
	{"/docker/" + anID, Place{ContainerID: anID, Runtime: "docker"}},
	{"/docker/" + anID + "/docker/" + innerID, Place{ContainerID: innerID, Runtime: "docker"}},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + anID + ".scope",
		Place{ContainerID: anID, Runtime: "docker", Slice: "user.slice"}},

	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + under(podUID) + ".slice/cri-containerd-" + anID + ".scope",
		Place{ContainerID: anID, Runtime: "containerd", PodUID: podUID, QoS: "burstable"}},
	{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + under(podUID) + ".slice/crio-" + anID + ".scope/container",
		Place{ContainerID: anID, Runtime: "cri-o", PodUID: podUID, QoS: "besteffort"}},
	{"/kubepods.slice/kubepods-pod" + under(podUID) + ".slice/cri-containerd-" + anID + ".scope",
		Place{ContainerID: anID, Runtime: "containerd", PodUID: podUID, QoS: "guaranteed"}},
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + under(podUID) + ".slice",
		Place{PodUID: podUID, QoS: "burstable"}},
	{"/kubepods/besteffort/pod" + podUID + "/" + anID, Place{ContainerID: anID, PodUID: podUID, QoS: "besteffort"}},
	{"/kubepods/pod" + podUID + "/" + anID, Place{ContainerID: anID, PodUID: podUID, QoS: "guaranteed"}},
	{"/kubepods/burstable/podd1e5f2a0b3c4958677a8b9c0d1e2f304/" + anID, // a static pod
		Place{ContainerID: anID, PodUID: "d1e5f2a0b3c4958677a8b9c0d1e2f304", QoS: "burstable"}},
	{"/system.slice/containerd.service/kubepods-burstable-pod" + under(podUID) + ".slice:cri-containerd:" + anID,
		Place{ContainerID: anID, Runtime: "containerd", PodUID: podUID, QoS: "burstable", Slice: "system.slice"}},
	{"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + under(podUID) + ".slice/cri-containerd-" + anID + ".scope", // kind
		Place{ContainerID: anID, Runtime: "containerd", PodUID: podUID, QoS: "burstable", Slice: "kubelet.slice"}},

	{"/machine.slice/libpod-" + anID + ".scope/container", Place{ContainerID: anID, Runtime: "podman", Slice: "machine.slice"}},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + anID + ".scope",
		Place{ContainerID: anID, Runtime: "podman", Slice: "user.slice"}},
	{"/libpod_parent/libpod-" + anID, Place{ContainerID: anID, Runtime: "podman"}},

	{"/system.slice/nginx.service", Place{Unit: "nginx.service", Slice: "system.slice"}},
	{"/system.slice/system-getty.slice/getty@tty1.service", Place{Unit: "getty@tty1.service", Slice: "system-getty.slice"}},
	{"/user.slice/user-1000.slice/session-3.scope", Place{Unit: "session-3.scope", Slice: "user-1000.slice"}},
	{"/user.slice/user-1000.slice/user@1000.service/app.slice/app-web.service", Place{Unit: "app-web.service", Slice: "app.slice"}},
	{"/init.scope", Place{Unit: "init.scope"}},

	{"/docker/" + anID[:63], Place{}},
	{"/docker/" + anID[:63] + "g", Place{}},
	{"/burstable/pod12", Place{}},
	{"/podcast.slice", Place{Slice: "podcast.slice"}},
	{"/", Place{}},
	{"", Place{}},
}

// under is a UID as systemd's names have it, where a dash means a parent.
func under(uid string) string { return strings.ReplaceAll(uid, "-", "_") }

func TestPlaceOf(t *testing.T) {
	for _, p := range places {
		equal(t, p.cgroup, PlaceOf(p.cgroup), p.want)
		equal(t, p.cgroup, ContainerID(p.cgroup), p.want.ContainerID)
	}
}

// Whatever the path, what is found in it has the form that others rely on.
func FuzzPlaceOf(f *testing.F) {
	for _, p := range places {
		f.Add(p.cgroup)
	}
	f.Fuzz(func(t *testing.T, cgroup string) {
		p := PlaceOf(cgroup)
		if p.ContainerID != "" && !(isContainerID(p.ContainerID) && strings.Contains(cgroup, p.ContainerID)) {
			t.Errorf("container %q", p.ContainerID)
		}
		if p.PodUID != "" && !isPodUID(p.PodUID) {
			t.Errorf("pod %q", p.PodUID)
		}
		if p.Runtime != "" && p.ContainerID == "" {
			t.Errorf("runtime %q without a container", p.Runtime)
		}
		if strings.Contains(p.Unit+p.Slice+p.QoS, "/") {
			t.Errorf("not one segment: %+v", p)
		}
	})
}
