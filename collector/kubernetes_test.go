package collector

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPodOf(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("BRINK_POD_LOGS", dir)
	t.Cleanup(forgetPods)
	static := "d1e5f2a0b3c4958677a8b9c0d1e2f304"
	for _, name := range []string{
		"shop_checkout-7d9f4-x2x8k_" + podUID,
		"kube-system_etcd-node1_" + static,
		"not a pod", "a_b_c", "_x_" + podUID,
	} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "pod", PodOf(podUID), Pod{"shop", "checkout-7d9f4-x2x8k"})
	equal(t, "static pod", PodOf(static), Pod{"kube-system", "etcd-node1"})
	equal(t, "unknown", PodOf("11111111-2222-3333-4444-555555555555"), Pod{})
	equal(t, "no pod", PodOf(""), Pod{})
}

// A host without a kubelet has no such directory, and says nothing.
func TestPodOfWithoutKubelet(t *testing.T) {
	t.Setenv("BRINK_POD_LOGS", filepath.Join(t.TempDir(), "absent"))
	t.Cleanup(forgetPods)
	equal(t, "pod", PodOf(podUID), Pod{})
}
