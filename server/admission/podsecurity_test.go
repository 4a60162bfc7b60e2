package admission_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/howdah/howdah/server"
	"github.com/howdah/howdah/server/admission"
)

const podSecurity = `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    exemptions:
      namespaces: [trusted]
`

func TestPodSecurity(t *testing.T) {
	file := filepath.Join(t.TempDir(), "admission.yaml")
	if err := os.WriteFile(file, []byte(podSecurity), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, server.Options{Admission: admission.Options{ConfigFile: file}})
	create := func(namespace, name string) error {
		t.Helper()
		_, err := c.CoreV1().Pods(namespace).Create(t.Context(), pod(name, func(s *corev1.PodSpec) { s.HostNetwork = true }), metav1.CreateOptions{})
		return err
	}

	enforced := c.namespace(t, "enforced", map[string]string{"pod-security.kubernetes.io/enforce": "baseline"})
	refused(t, create(enforced, "p"), `pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)`)

	warned := c.namespace(t, "warned", map[string]string{"pod-security.kubernetes.io/warn": "baseline"})
	c.warnings.take()
	if err := create(warned, "p"); err != nil {
		t.Fatal(err)
	}
	if got, want := c.warnings.take(), `would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)`; got != want {
		t.Errorf("the warning is %q, want %q", got, want)
	}

	if err := create(c.namespace(t, "trusted", map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}), "p"); err != nil {
		t.Errorf("in an exempt namespace: %v", err)
	}

	// What runs already is looked for when a namespace gets stricter.
	c.warnings.take()
	_, err := c.CoreV1().Namespaces().Patch(t.Context(), warned, types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"baseline"}}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.warnings.take(); !strings.Contains(got, `existing pods in namespace "warned" violate the new PodSecurity enforce level "baseline:latest"`) || !strings.Contains(got, "p: host namespaces") {
		t.Errorf("the namespace's warnings are %q", got)
	}
	_, err = c.CoreV1().Namespaces().Patch(t.Context(), warned, types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"nonsense"}}}`), metav1.PatchOptions{})
	refused(t, err, `metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "nonsense"`)
}
