package admission_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/howdah/howdah/server"
	"github.com/howdah/howdah/server/admission"
)

// A cluster is one server and its administrator's client, which keeps the
// warnings that it gets.
type cluster struct {
	kubernetes.Interface
	config   *restclient.Config
	warnings *warnings
}

func start(t *testing.T, options server.Options) *cluster {
	t.Helper()
	if options.DataDir == "" {
		options.DataDir = t.TempDir()
	}
	options.BindAddress = net.IPv4(127, 0, 0, 1)
	options.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := server.New(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	config, err := clientcmd.BuildConfigFromFlags("", s.AdminKubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	return connect(t, config)
}

func connect(t *testing.T, config *restclient.Config) *cluster {
	t.Helper()
	c := &cluster{config: config, warnings: &warnings{}}
	config.QPS = -1
	config.WarningHandler = c.warnings
	var err error
	if c.Interface, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return c
}

// warnings collects the texts of Warning headers.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	texts := strings.Join(w.texts, "\n")
	w.texts = nil
	return texts
}

// namespace makes one with its default service account, as no controller runs.
func (c *cluster) namespace(t *testing.T, name string, labels map[string]string) string {
	t.Helper()
	_, err := c.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := c.CoreV1().ServiceAccounts(name).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}

func (c *cluster) configMap(t *testing.T, namespace, name string, dryRun ...string) (*corev1.ConfigMap, error) {
	t.Helper()
	return c.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{DryRun: dryRun})
}

// until asks again until the answer is yes: how long a server takes to learn of
// a configuration is not told to anybody.
func until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !yes() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// refused checks the text of a refusal.
func refused(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want an error with %q", err, text)
	}
}

func pod(name string, change ...func(*corev1.PodSpec)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "example.org/c"}}}}
	for _, f := range change {
		f(&p.Spec)
	}
	return p
}

// TestEveryPluginStarts turns on all plugins that need no configuration.
func TestEveryPluginStarts(t *testing.T) {
	c := start(t, server.Options{Admission: admission.Options{Enable: []string{
		"AlwaysAdmit", "NamespaceAutoProvision", "NamespaceExists", "LimitPodHardAntiAffinityTopology", "ServiceAccount",
		"NodeRestriction", "AlwaysPullImages", "PodNodeSelector", "PodTolerationRestriction", "ExtendedResourceToleration",
		"StorageObjectInUseProtection", "PodGroupProtection", "OwnerReferencesPermissionEnforcement", "DenyServiceExternalIPs", "ResourceQuota",
	}}})
	_, err := c.CoreV1().Pods("kube-system").Create(t.Context(), pod("p", func(s *corev1.PodSpec) { s.ServiceAccountName = "nobody" }), metav1.CreateOptions{})
	refused(t, err, `pods "p" is forbidden: error looking up service account kube-system/nobody: serviceaccount "nobody" not found`)
	_, err = c.CoreV1().Services("default").Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Port: 80}}, ExternalIPs: []string{"192.0.2.1"},
	}}, metav1.CreateOptions{})
	refused(t, err, "Use of external IPs is denied by admission control")
	claim, err := c.CoreV1().PersistentVolumeClaims("default").Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "c"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: quantities("storage", "1Gi")},
		},
	}, metav1.CreateOptions{})
	if err != nil || len(claim.Finalizers) != 1 || claim.Finalizers[0] != "kubernetes.io/pvc-protection" {
		t.Errorf("the claim has finalizers %v (%v)", claim.Finalizers, err)
	}
	if _, err := c.configMap(t, "made-for-me", "c"); err != nil {
		t.Errorf("NamespaceAutoProvision: %v", err)
	}
	metrics := c.metrics(t)
	for _, name := range []string{
		`apiserver_admission_controller_admission_duration_seconds_count{name="ServiceAccount",operation="CREATE",rejected="true",type="admit"}`,
		`apiserver_admission_step_admission_duration_seconds_count{operation="CREATE",rejected="true",type="admit"}`,
		`pod_security_evaluations_total`,
	} {
		if !strings.Contains(metrics, name) {
			t.Errorf("there is no metric %s", name)
		}
	}
}

func (c *cluster) metrics(t *testing.T) string {
	t.Helper()
	body, err := c.CoreV1().RESTClient().Get().AbsPath("/metrics").Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
