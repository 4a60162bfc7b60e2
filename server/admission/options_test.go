package admission

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	kubeapiserveroptions "k8s.io/kubernetes/pkg/kubeapiserver/options"
)

// TestNames has kube-apiserver v1.37's default list, in its order.
func TestNames(t *testing.T) {
	defaults := []string{
		"NamespaceLifecycle", "LimitRanger", "ServiceAccount", "TaintNodesByCondition", "PodSecurity", "Priority",
		"DefaultTolerationSeconds", "DefaultStorageClass", "StorageObjectInUseProtection", "PodGroupProtection",
		"PersistentVolumeClaimResize", "RuntimeClass", "CertificateApproval", "CertificateSigning",
		"ClusterTrustBundleAttest", "CertificateSubjectRestriction", "DefaultIngressClass", "PodTopologyLabels",
		"NodeDeclaredFeatureValidator", "PodResizeValidator", "MutatingAdmissionPolicy", "MutatingAdmissionWebhook",
		"ValidatingAdmissionPolicy", "ValidatingAdmissionWebhook", "ResourceQuota",
	}
	if got := (Options{}).names(); !slices.Equal(got, defaults) {
		t.Errorf("the default plugins are\n%v, want\n%v", got, defaults)
	}
	got := Options{Enable: []string{"AlwaysPullImages", "NodeRestriction"}, Disable: []string{"LimitRanger", "AlwaysDeny"}}.names()
	if want := []string{"NamespaceLifecycle", "ServiceAccount", "NodeRestriction", "TaintNodesByCondition", "AlwaysPullImages"}; !slices.Equal(got[:5], want) {
		t.Errorf("the plugins begin with %v, want %v", got[:5], want)
	}
}

func TestPlugins(t *testing.T) {
	all, err := Options{}.plugins()
	if err != nil {
		t.Fatal(err)
	}
	registered, ordered := all.Registered(), slices.Sorted(slices.Values(kubeapiserveroptions.AllOrderedPlugins))
	if !slices.Equal(registered, ordered) {
		t.Errorf("registered are\n%v, ordered\n%v", registered, ordered)
	}
	_, err = Options{Enable: []string{"Nonsense", "LimitRanger"}, Disable: []string{"Rubbish", "LimitRanger"}}.plugins()
	want := `enable-admission-plugins plugin "Nonsense" is unknown
disable-admission-plugins plugin "Rubbish" is unknown
[LimitRanger] in enable-admission-plugins and disable-admission-plugins overlapped`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want\n%s", err, want)
	}
}

func TestConfiguration(t *testing.T) {
	for content, want := range map[string]string{
		"apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: []\n": "",
		"apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugs: []\n":   "unknown field",
		"apiVersion: apiserver.config.k8s.io/v1\nkind: SomethingElse\n":                       "no kind",
		"apiVersion: v1\nkind: [\n": "yaml",
	} {
		file := filepath.Join(t.TempDir(), "admission.yaml")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Options{ConfigFile: file}.configuration(nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", content, err, want)
		}
	}
	if _, err := (Options{ConfigFile: "/nonexistent"}).configuration(nil); err == nil {
		t.Error("a file that does not exist is no error")
	}
}
