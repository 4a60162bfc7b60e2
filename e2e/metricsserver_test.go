package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// TestMetricsServer runs metrics-server, a stock aggregated API server, behind
// Howdah: with its own manifests, as its own service account, with no flag for
// either that says whom to trust.
func TestMetricsServer(t *testing.T) {
	t.Parallel() // most of the time it waits
	ctx := testContext(t)
	address := must(utilnet.ChooseHostInterface())(t)
	s := newServer(t, "", "--controllers=clusterrole-aggregation-controller,horizontal-pod-autoscaler-controller", "--horizontal-pod-autoscaler-sync-period=1s", "--scheduler=false")
	client := must(kubernetes.NewForConfig(s.config()))(t)
	c := &cluster{servers: []*server{s}, environment: map[string]string{"MANIFESTS": moduleDir(t, "sigs.k8s.io/metrics-server", "manifests", "base")}}
	addMeasured(t, client)
	phase := func(name string) {
		t.Helper()
		if !t.Run(name, func(t *testing.T) { c.run(t, "testdata/extensions/metrics/"+name+".txtar") }) {
			t.FailNow()
		}
	}

	phase("absent")
	m := &metricsServer{t: t, address: address, port: freePort(t), kubeconfig: s.accountKubeconfig("kube-system", "metrics-server")}
	m.start()
	must(client.DiscoveryV1().EndpointSlices("kube-system").Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "metrics-server", Labels: map[string]string{discoveryv1.LabelServiceName: "metrics-server"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address.String()}}},
		Ports:       []discoveryv1.EndpointPort{{Name: new("https"), Port: new(int32(m.port))}},
	}, metav1.CreateOptions{}))(t)
	measured := func() {
		t.Helper()
		var last error
		if err := wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			for _, path := range []string{"nodes/measured", "namespaces/default/pods/measured"} {
				if _, last = client.RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/" + path).DoRaw(ctx); last != nil {
					return false, nil
				}
			}
			return true, nil
		}); err != nil {
			t.Fatalf("nothing was measured: %v, last: %v", err, last)
		}
	}
	measured()
	phase("serving")
	phase("autoscale")
	m.stop()
	phase("down")
	m.start()
	measured()
}

// addMeasured adds a node and a pod on it that use 0.55 cores, and the kubelet
// that tells of it.
func addMeasured(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	begin := time.Now().Add(-time.Hour)
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics/resource" || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		now := time.Now()
		cores := now.Sub(begin).Seconds() * 0.55
		for _, measure := range []struct {
			name, labels string
			value        float64
		}{
			{"node_cpu_usage_seconds_total", "", cores},
			{"node_memory_working_set_bytes", "", 512 << 20},
			{"container_cpu_usage_seconds_total", `{container="main",namespace="default",pod="measured"}`, cores},
			{"container_memory_working_set_bytes", `{container="main",namespace="default",pod="measured"}`, 256 << 20},
			{"container_start_time_seconds", `{container="main",namespace="default",pod="measured"}`, float64(begin.Unix())},
		} {
			fmt.Fprintf(w, "%s%s %f %d\n", measure.name, measure.labels, measure.value, now.UnixMilli())
		}
	}))
	t.Cleanup(kubelet.Close)
	room := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourcePods: resource.MustParse("10")}
	must(client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "measured"},
		Status: corev1.NodeStatus{
			Capacity: room, Allocatable: room,
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(kubelet.Listener.Addr().(*net.TCPAddr).Port)}},
			Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}, metav1.CreateOptions{}))(t)
	must(client.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}))(t)
	pod := must(client.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "measured", Labels: map[string]string{"app": "measured"}},
		Spec:       corev1.PodSpec{NodeName: "measured", Containers: []corev1.Container{{Name: "main", Image: "nginx"}}},
	}, metav1.CreateOptions{}))(t)
	pod.Status.Phase = corev1.PodRunning // metrics-server looks at no others
	pod.Status.StartTime = new(metav1.NewTime(begin))
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(begin)}}
	must(client.CoreV1().Pods("default").UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}))(t)
}

// accountKubeconfig is the access of a service account, by a token.
func (s *server) accountKubeconfig(namespace, name string) string {
	s.t.Helper()
	client := must(kubernetes.NewForConfig(s.config()))(s.t)
	token := must(client.CoreV1().ServiceAccounts(namespace).CreateToken(s.t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{}))(s.t)
	config := must(clientcmd.LoadFromFile(s.kubeconfig()))(s.t)
	for user := range config.AuthInfos {
		config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	}
	file := filepath.Join(s.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		s.t.Fatal(err)
	}
	return file
}

func freePort(t *testing.T) int {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// A metricsServer is one metrics-server process, or the place of one.
type metricsServer struct {
	t          *testing.T
	address    net.IP
	port       int
	kubeconfig string
	process    *exec.Cmd
	log        lockedBuffer
}

func (m *metricsServer) start() {
	m.t.Helper()
	m.process = exec.Command(must(buildMetricsServer())(m.t), "--kubeconfig", m.kubeconfig,
		"--authentication-kubeconfig", m.kubeconfig, "--authorization-kubeconfig", m.kubeconfig,
		"--bind-address", m.address.String(), "--secure-port", strconv.Itoa(m.port), "--cert-dir", m.t.TempDir(),
		"--kubelet-insecure-tls", "--kubelet-use-node-status-port", "--kubelet-preferred-address-types", "InternalIP", "--metric-resolution", "10s",
		"--kubelet-request-timeout", "5s")
	m.process.Stdout, m.process.Stderr = &m.log, &m.log
	if err := m.process.Start(); err != nil {
		m.t.Fatal(err)
	}
	process := m.process
	m.t.Cleanup(func() {
		if process.ProcessState == nil {
			process.Process.Kill()
			process.Wait()
		}
		if m.t.Failed() {
			m.t.Logf("log of metrics-server:\n%s", m.log.tail(8<<10))
		}
	})
}

func (m *metricsServer) stop() {
	m.t.Helper()
	if err := m.process.Process.Kill(); err != nil {
		m.t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := m.process.Wait(); !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
}
