package deploy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// strict decodes a document into the API's own type.
func strict[T any](t *testing.T, document string) *T {
	t.Helper()
	into := new(T)
	if err := decodeStrict(document, into); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	return into
}

// decodeStrict is what the API server does: an unknown, misplaced or repeated
// field is an error, and so is one of another case.
func decodeStrict(document string, into any) error {
	text, err := yaml.YAMLToJSONStrict([]byte(document))
	if err != nil {
		return err
	}
	strict, err := json.UnmarshalStrict(text, into)
	return errors.Join(append(strict, err)...)
}

func readDaemonSet(t *testing.T) (set *appsv1.DaemonSet) {
	t.Helper()
	var kinds []string
	for document := range strings.SplitSeq(string(read(t, "daemonset.yaml")), "\n---\n") {
		var meta struct{ Kind string }
		if err := yaml.Unmarshal([]byte(document), &meta); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, meta.Kind)
		switch meta.Kind {
		case "Namespace":
			strict[corev1.Namespace](t, document)
		case "ServiceAccount":
			strict[corev1.ServiceAccount](t, document)
		case "DaemonSet":
			set = strict[appsv1.DaemonSet](t, document)
		}
	}
	if !slices.Equal(kinds, []string{"Namespace", "ServiceAccount", "DaemonSet"}) {
		t.Fatalf("the manifest has %v", kinds)
	}
	return set
}

// TestDaemonSet: what the API server checks beyond types, and least privilege.
func TestDaemonSet(t *testing.T) {
	set := readDaemonSet(t)
	pod := set.Spec.Template
	for key, value := range set.Spec.Selector.MatchLabels {
		if pod.Labels[key] != value {
			t.Errorf("the selector wants %s=%s, which the pods do not have", key, value)
		}
	}
	if len(pod.Spec.Containers) != 1 {
		t.Fatalf("%d containers", len(pod.Spec.Containers))
	}
	c := pod.Spec.Containers[0]
	checkMounts(t, pod.Spec, c)
	checkProbes(t, c)
	checkVariables(t, c)
	checkPrivilege(t, c.SecurityContext)
	if !pod.Spec.HostPID {
		t.Error("without the host's PIDs no process is found")
	}
	if c.Resources.Requests.Memory().Cmp(*c.Resources.Limits.Memory()) > 0 {
		t.Error("more memory is requested than allowed")
	}
}

func checkMounts(t *testing.T, pod corev1.PodSpec, c corev1.Container) {
	t.Helper()
	for _, m := range c.VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 {
			t.Fatalf("there is no volume %s", m.Name)
		}
		if v := pod.Volumes[i]; v.HostPath != nil && (v.HostPath.Path != m.MountPath || !m.ReadOnly) {
			t.Errorf("%s: the host's %s at %s, read-only %v", m.Name, v.HostPath.Path, m.MountPath, m.ReadOnly)
		}
	}
}

func checkProbes(t *testing.T, c corev1.Container) {
	t.Helper()
	for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if p == nil || p.HTTPGet == nil {
			t.Fatal("a probe is missing")
		}
		named := func(port corev1.ContainerPort) bool { return port.Name == p.HTTPGet.Port.String() }
		if !slices.ContainsFunc(c.Ports, named) {
			t.Errorf("there is no port %s", &p.HTTPGet.Port)
		}
	}
}

// checkVariables: each $(NAME) in the command is one of the container's.
func checkVariables(t *testing.T, c corev1.Container) {
	t.Helper()
	for _, word := range c.Command {
		_, rest, found := strings.Cut(word, "$(")
		if !found {
			continue
		}
		name, _, _ := strings.Cut(rest, ")")
		if !slices.ContainsFunc(c.Env, func(v corev1.EnvVar) bool { return v.Name == name }) {
			t.Errorf("%s is not in the environment", name)
		}
	}
}

func checkPrivilege(t *testing.T, s *corev1.SecurityContext) {
	t.Helper()
	if s.Privileged == nil || *s.Privileged || !*s.ReadOnlyRootFilesystem {
		t.Error("privileged, or with a root file system that can be written to")
	}
	if !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("drops %v, not all", s.Capabilities.Drop)
	}
	var added []string
	for _, c := range s.Capabilities.Add {
		added = append(added, "CAP_"+string(c))
	}
	if unit := unitSetting(t, "CapabilityBoundingSet"); !slices.Equal(added, strings.Fields(unit)) {
		t.Errorf("the pod has %v, the systemd unit %s", added, unit)
	}
}

// TestStrict: the types tell a field that is not theirs.
func TestStrict(t *testing.T) {
	wrong := strings.Replace(string(read(t, "daemonset.yaml")), "readOnlyRootFilesystem", "readOnlyRootFileSystem", 1)
	_, document, _ := strings.Cut(wrong, "kind: ServiceAccount")
	_, document, _ = strings.Cut(document, "\n---\n")
	if err := decodeStrict(document, &appsv1.DaemonSet{}); err == nil {
		t.Error("a misspelt field passed")
	}
}
