package e2e

import "testing"

// TestKnownDefinitions serves the custom resources of well-known projects, as
// their releases define them.
func TestKnownDefinitions(t *testing.T) {
	s := newServer(t, "")
	c := &cluster{servers: []*server{s}, environment: map[string]string{
		"ARGOCD":      moduleDir(t, "github.com/argoproj/argo-cd/v3@v3.4.0", "manifests", "crds"),
		"CERTMANAGER": moduleDir(t, "github.com/cert-manager/cert-manager@v1.21.2", "deploy", "crds"),
		"CROSSPLANE":  moduleDir(t, "github.com/crossplane/crossplane/v2@v2.1.0", "cluster", "crds"),
		"GATEWAY":     moduleDir(t, "sigs.k8s.io/gateway-api@v1.6.3", "config", "crd", "standard"),
		"PROMETHEUS":  moduleDir(t, "github.com/prometheus-operator/prometheus-operator@v0.85.0", "example", "prometheus-operator-crd"),
	}}
	c.run(t, "testdata/extensions/definitions/*.txtar")
}
