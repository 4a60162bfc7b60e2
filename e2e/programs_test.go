package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// programs is where they are built until the last test has ended.
var programs string

// program builds a program of others that tests run when the first one needs it,
// unless the environment variable names one. go.mod has it as a tool.
func program(variable, source string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		if file := os.Getenv(variable); file != "" {
			return file, nil
		}
		file := filepath.Join(programs, filepath.Base(source))
		build := exec.Command("go", "build", "-o", file, source)
		if output, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", build, err, output)
		}
		return file, nil
	})
}

var (
	// buildKWOK builds the player of nodes (https://kwok.sigs.k8s.io).
	buildKWOK          = program("HOWDAH_E2E_KWOK", "sigs.k8s.io/kwok/cmd/kwok")
	buildHelm          = program("HOWDAH_E2E_HELM", "helm.sh/helm/v4/cmd/helm")
	buildMetricsServer = program("HOWDAH_E2E_METRICS_SERVER", "sigs.k8s.io/metrics-server/cmd/metrics-server")
	buildKubelet       = program("HOWDAH_E2E_KUBELET", "k8s.io/kubernetes/cmd/kubelet")
	buildProxy         = program("HOWDAH_E2E_KUBE_PROXY", "k8s.io/kubernetes/cmd/kube-proxy")
)
