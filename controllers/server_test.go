package controllers_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	serveroptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/howdah/howdah/controllers"
	"github.com/howdah/howdah/server"
)

// testTimeout bounds each test against a server.
const testTimeout = 3 * time.Minute

// A cluster is a real server in which controllers work.
type cluster struct {
	*testing.T
	ctx    context.Context
	config *rest.Config
	client kubernetes.Interface
}

// start starts a server on an embedded database with the controllers that are
// named, or those on by default.
func start(t *testing.T, change func(*controllers.Options), names ...string) *cluster {
	t.Helper()
	return startScheduling(t, "", change, names...)
}

// startScheduling is start with a scheduler's configuration, a file.
func startScheduling(t *testing.T, config string, change func(*controllers.Options), names ...string) *cluster {
	t.Helper()
	options, err := controllers.DefaultOptions()
	if err != nil {
		t.Fatal(err)
	}
	if len(names) > 0 {
		options.Config.Generic.Controllers = names
	}
	if change != nil {
		change(options)
	}
	s, err := server.New(server.Options{
		DataDir: t.TempDir(), BindAddress: net.IPv4(127, 0, 0, 1), Controllers: options, SchedulerConfig: config, Audit: ownRights(t),
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	access, err := clientcmd.BuildConfigFromFlags("", s.AdminKubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	access.QPS = -1
	return &cluster{T: t, ctx: ctx, config: access, client: must(kubernetes.NewForConfig(access))(t)}
}

// ownRights are the options of an audit log of what the control plane does. When
// the test ends and the log is complete, none of its identities, of which each
// controller has its own, may have been forbidden anything.
func ownRights(t *testing.T) *serveroptions.AuditOptions {
	t.Helper()
	dir := t.TempDir()
	o := serveroptions.NewAuditOptions()
	o.PolicyFile, o.LogOptions.Path = filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "audit.log")
	policy := "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n"
	if err := os.WriteFile(o.PolicyFile, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		log := must(os.Open(o.LogOptions.Path))(t)
		defer log.Close()
		for lines := json.NewDecoder(log); ; {
			var e auditv1.Event
			if err := lines.Decode(&e); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
			who := e.User.Username
			if e.ImpersonatedUser != nil {
				who = e.ImpersonatedUser.Username
			}
			controlPlane := strings.HasPrefix(who, "system:kube-") || strings.HasPrefix(who, "system:serviceaccount:kube-system:")
			if controlPlane && e.Annotations["authorization.k8s.io/decision"] == "forbid" {
				t.Errorf("%s may not %s %s", who, e.Verb, e.RequestURI)
			}
		}
	})
	return o
}

func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// namespace makes a namespace.
func (c *cluster) namespace(name string) string {
	c.Helper()
	must(c.client.CoreV1().Namespaces().Create(c.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))(c)
	return name
}

// A watchable is what typed clients have in common here.
type watchable[T any] interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (T, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// await watches one object until it is as wanted, and returns it.
func await[T any](c *cluster, client watchable[T], name string, wanted func(T) bool) T {
	c.Helper()
	var last any
	for {
		watcher := must(client.Watch(c.ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name}))(c)
		for event := range watcher.ResultChan() {
			object, ok := event.Object.(any).(T)
			last = event.Object
			if ok && event.Type != watch.Deleted && wanted(object) {
				watcher.Stop()
				return object
			}
		}
		if c.ctx.Err() != nil {
			c.Fatalf("%s did not become what was wanted; last: %+v", name, last)
		}
	}
}

// awaitGone watches one object until it is deleted.
func awaitGone[T any](c *cluster, client watchable[T], name string) {
	c.Helper()
	watcher := must(client.Watch(c.ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name, ResourceVersion: ""}))(c)
	defer watcher.Stop()
	var last any
	if _, err := client.Get(c.ctx, name, metav1.GetOptions{}); err != nil {
		return
	}
	for event := range watcher.ResultChan() {
		if last = event.Object; event.Type == watch.Deleted {
			return
		}
	}
	c.Fatalf("%s was not deleted; last: %+v", name, last)
}

func TestNamespacesGetTheirDefaults(t *testing.T) {
	c := start(t, nil, "serviceaccount", "root-ca-cert-publisher")
	namespace := c.namespace("new")
	account := await(c, c.client.CoreV1().ServiceAccounts(namespace), "default", func(*corev1.ServiceAccount) bool { return true })
	published := await(c, c.client.CoreV1().ConfigMaps(namespace), "kube-root-ca.crt", func(*corev1.ConfigMap) bool { return true })
	if published.Data["ca.crt"] != string(c.config.CAData) || !strings.HasPrefix(published.Annotations["kubernetes.io/description"], "Contains a CA bundle") {
		t.Errorf("published %+v", published)
	}

	// What is deleted or changed comes back.
	if err := c.client.CoreV1().ServiceAccounts(namespace).Delete(c.ctx, "default", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(c, c.client.CoreV1().ServiceAccounts(namespace), "default", func(a *corev1.ServiceAccount) bool { return a.UID != account.UID })
	published.Data = map[string]string{"ca.crt": "mine"}
	must(c.client.CoreV1().ConfigMaps(namespace).Update(c.ctx, published, metav1.UpdateOptions{}))(t)
	await(c, c.client.CoreV1().ConfigMaps(namespace), "kube-root-ca.crt", func(m *corev1.ConfigMap) bool { return m.Data["ca.crt"] == string(c.config.CAData) })

	lease := await(c, c.client.CoordinationV1().Leases("kube-system"), controllers.LeaseName, func(*coordinationv1.Lease) bool { return true })
	if *lease.Spec.HolderIdentity == "" {
		t.Error("nobody leads")
	}
	told := must(c.client.CoreV1().Events("kube-system").Watch(c.ctx, metav1.ListOptions{FieldSelector: "reason=LeaderElection,involvedObject.name=" + controllers.LeaseName}))(c)
	defer told.Stop()
	e, _ := (<-told.ResultChan()).Object.(*corev1.Event)
	if e == nil || e.InvolvedObject.Kind != "Lease" || e.Message != *lease.Spec.HolderIdentity+" became leader" || e.Source.Component != "kube-controller-manager" {
		t.Errorf("who leads is told as %+v", e)
	}
	await(c, c.client.CoreV1().ServiceAccounts("default"), "default", func(*corev1.ServiceAccount) bool { return true })
}
