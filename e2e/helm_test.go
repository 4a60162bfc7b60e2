package e2e

import (
	"testing"

	"k8s.io/client-go/kubernetes"
)

// TestHelm installs, upgrades, rolls back and uninstalls a chart that has
// definitions, resources of them and hooks.
func TestHelm(t *testing.T) {
	s := newServer(t, "")
	s.kwok()
	addNodes(t, must(kubernetes.NewForConfig(s.config()))(t), 1)
	c := &cluster{servers: []*server{s}, environment: map[string]string{"HELM": must(buildHelm())(t)}}
	c.run(t, "testdata/extensions/helm.txtar")
}
