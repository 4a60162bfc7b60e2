package server

import (
	"strings"
	"testing"
)

// TestHooks: a start has passed what upstream's end-to-end tests of health checks
// want a start to have passed.
func TestHooks(t *testing.T) {
	client := clientOf(t, start(t, Options{DataDir: t.TempDir()}))
	for path, more := range map[string]string{"/healthz": "", "/livez": "", "/readyz": "informer-sync"} {
		report, err := client.Discovery().RESTClient().Get().AbsPath(path).Param("verbose", "1").DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, check := range strings.Fields(`ping log etcd autoregister-completion poststarthook/start-apiserver-admission-initializer
			poststarthook/generic-apiserver-start-informers poststarthook/start-apiextensions-informers poststarthook/start-apiextensions-controllers
			poststarthook/crd-informer-synced poststarthook/bootstrap-controller poststarthook/start-system-namespaces-controller
			poststarthook/start-service-ip-repair-controllers poststarthook/scheduling/bootstrap-system-priority-classes
			poststarthook/start-cluster-authentication-info-controller poststarthook/start-kube-aggregator-informers
			poststarthook/apiservice-registration-controller poststarthook/apiservice-status-local-available-controller
			poststarthook/apiservice-status-remote-available-controller poststarthook/kube-apiserver-autoregistration
			poststarthook/apiservice-openapi-controller ` + more) {
			if !strings.Contains(string(report), "[+]"+check+" ok\n") {
				t.Errorf("%s lacks %s:\n%s", path, check, report)
			}
		}
	}
}
