package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	nodeheartbeatwithlease "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
)

// kwok plays the kubelets of all of a server's nodes until the test ends: nodes
// are Ready and renew their leases, pods bound to them run, complete and go, as
// KWOK's stock "fast" stages say. What it returns ends it before, as if all
// machines lost their power.
func (s *server) kwok() (powerOff func()) {
	s.t.Helper()
	program := must(buildKWOK())(s.t)
	stages := filepath.Join(s.t.TempDir(), "stages.yaml")
	if err := os.WriteFile(stages, []byte(strings.Join([]string{
		nodefast.DefaultNodeInit, nodeheartbeatwithlease.DefaultNodeHeartbeatWithLease,
		podfast.DefaultPodReady, podfast.DefaultPodComplete, podfast.DefaultPodDelete,
	}, "\n---\n")), 0o600); err != nil {
		s.t.Fatal(err)
	}
	var log lockedBuffer
	process := exec.Command(program, "--kubeconfig", s.kubeconfig(), "--config", stages, "--manage-all-nodes",
		"--node-lease-duration-seconds", "40", "--node-ip", "10.0.0.1", "--cidr", "10.64.0.0/16")
	process.Stdout, process.Stderr = &log, &log
	process.Env = append(os.Environ(), "HOME="+s.t.TempDir()) // where it looks for further stages
	if err := process.Start(); err != nil {
		s.t.Fatal(err)
	}
	powerOff = sync.OnceFunc(func() {
		process.Process.Kill()
		process.Wait()
	})
	s.t.Cleanup(func() {
		powerOff()
		if s.t.Failed() {
			s.t.Logf("log of KWOK:\n%s", log.tail(8<<10))
		}
	})
	return powerOff
}

// addNodes registers nodes as kubelets would: "node-0" and so on, with room for
// 110 pods each.
func addNodes(t *testing.T, client kubernetes.Interface, count int) {
	t.Helper()
	for i := range count {
		name := fmt.Sprintf("node-%d", i)
		room := corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("32"), corev1.ResourceMemory: resource.MustParse("256Gi"), corev1.ResourcePods: resource.MustParse("110"),
		}
		must(client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"}},
			Status:     corev1.NodeStatus{Allocatable: room, Capacity: room},
		}, metav1.CreateOptions{}))(t)
	}
}
