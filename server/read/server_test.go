package read

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	"github.com/howdah/howdah/server/builtin"
	"github.com/howdah/howdah/server/objects"
	resources "github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/sqlite"
)

// A server is the built-in resources over a store, with the read verbs and as
// much of the request flow as they need.
type server struct {
	t        testing.TB
	driver   storage.Driver
	store    *storage.Store
	table    *resources.Table
	deps     Deps
	handlers sync.Map
}

func newServer(t testing.TB, options storage.Options) *server {
	t.Helper()
	driver, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "state.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	options.Driver = driver
	store, err := storage.New(options)
	if err != nil {
		t.Fatal(err)
	}
	factory, err := objects.NewStorageFactory()
	if err != nil {
		t.Fatal(err)
	}
	loopback := &restclient.Config{Host: "https://loopback.invalid"}
	client, err := kubernetes.NewForConfig(loopback)
	if err != nil {
		t.Fatal(err)
	}
	_, cidr, _ := net.ParseCIDR("10.0.0.0/24")
	s := &server{t: t, driver: driver, store: store, table: resources.NewTable(), deps: Deps{Store: store}}
	installed, err := builtin.Install(s.table, builtin.Config{
		Getter: objects.NewGetter(store, factory), Loopback: loopback,
		Informers: informers.NewSharedInformerFactory(client, 0), ServiceCIDRs: []net.IPNet{*cidr},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		installed.Stop()
		if err := errors.Join(store.Stop(context.Background()), driver.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *server) row(gvr schema.GroupVersionResource) *resources.Resource {
	s.t.Helper()
	row := s.table.Lookup(gvr, "")
	if row == nil {
		s.t.Fatalf("%s is not served", gvr)
	}
	return row
}

func pods() schema.GroupVersionResource { return corev1.SchemeGroupVersion.WithResource("pods") }

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = withInfo(r)
	info, _ := request.RequestInfoFrom(r.Context())
	row := s.table.Lookup(schema.GroupVersionResource{Group: info.APIGroup, Version: info.APIVersion, Resource: info.Resource}, info.Subresource)
	if row == nil {
		http.NotFound(w, r)
		return
	}
	ctx := request.WithUser(r.Context(), &user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}})
	ctx = request.WithNamespace(ctx, info.Namespace)
	key := row.String() + info.Verb
	handler, ok := s.handlers.Load(key)
	if !ok {
		switch info.Verb {
		case "get":
			handler = Get(row, s.deps)
		case "list":
			handler = List(row, s.deps)
		default:
			handler = Watch(row, s.deps)
		}
		s.handlers.Store(key, handler)
	}
	handler.(http.Handler).ServeHTTP(w, r.WithContext(ctx))
}

func withInfo(r *http.Request) *http.Request {
	factory := request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	info, err := factory.NewRequestInfo(r)
	if err != nil {
		panic(err)
	}
	return r.WithContext(request.WithRequestInfo(r.Context(), info))
}

// ask sends a GET; headers are pairs of name and value.
func (s *server) ask(url string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	r.Header.Set("User-Agent", "tester/v1.0 (linux)")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Header().Get("Content-Encoding") == "gzip" {
		w.Body = bytes.NewBuffer(unzip(s.t, w.Body))
	}
	return w
}

// must is ask for an answer that is no error.
func (s *server) must(url string, header ...string) []byte {
	s.t.Helper()
	w := s.ask(url, header...)
	if w.Code != http.StatusOK {
		s.t.Fatalf("GET %s: %d %s", url, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

func unzip(t testing.TB, r io.Reader) []byte {
	t.Helper()
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// create stores an object through upstream's registry.
func (s *server) create(gvr schema.GroupVersionResource, obj runtime.Object) runtime.Object {
	s.t.Helper()
	row := s.row(gvr)
	legacyscheme.Scheme.Default(obj)
	hub, err := row.Convertor.ConvertToVersion(obj, row.Hub)
	if err != nil {
		s.t.Fatal(err)
	}
	m, _ := hub.(metav1.Object)
	created, err := row.Storage.(rest.Creater).Create(about(gvr, m.GetNamespace()), hub, rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return created
}

// about is the context of a request.
func about(gvr schema.GroupVersionResource, namespace string) context.Context {
	ctx := request.WithNamespace(context.Background(), namespace)
	return request.WithRequestInfo(ctx, &request.RequestInfo{APIGroup: gvr.Group, APIVersion: gvr.Version, Resource: gvr.Resource})
}

func (s *server) update(gvr schema.GroupVersionResource, namespace, name string, change func(hub runtime.Object)) {
	s.t.Helper()
	_, _, err := s.row(gvr).Storage.(rest.Updater).Update(about(gvr, namespace), name,
		rest.DefaultUpdatedObjectInfo(nil, func(_ context.Context, _, old runtime.Object) (runtime.Object, error) {
			hub := old.DeepCopyObject()
			change(hub)
			return hub, nil
		}), rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) delete(gvr schema.GroupVersionResource, namespace, name string) {
	s.t.Helper()
	now := int64(0)
	_, _, err := s.row(gvr).Storage.(rest.GracefulDeleter).Delete(about(gvr, namespace), name, rest.ValidateAllObjectFunc, &metav1.DeleteOptions{GracePeriodSeconds: &now})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) createPods(n int) {
	s.t.Helper()
	for i := range n {
		s.create(pods(), pod(i))
	}
}

// pod is an ordinary web server's, about 3.3 KB in protobuf once it is stored.
func pod(i int) *corev1.Pod {
	var env []corev1.EnvVar
	for j := range 12 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", j), Value: strings.Repeat("v", 24)})
	}
	seconds := int64(300)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   fmt.Sprintf("bench-%02d", i%30),
			Name:        podName(i),
			Labels:      map[string]string{"app": fmt.Sprintf("web-%d", i%100), "pod-template-hash": "7d9c6b8f5d", "tier": "frontend", "bench": "howdah"},
			Annotations: map[string]string{"checksum/config": strings.Repeat("a", 64), "text": "<a & b>\u2028 \"quoted\"\n\x01"},
			ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: "tester", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1", Time: &metav1.Time{Time: time.Unix(1e9, 0)},
				FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:annotations":{".":{},"f:checksum/config":{}},"f:labels":{".":{},"f:app":{},"f:tier":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:env":{".":{},"k:{\"name\":\"SETTING_0\"}":{".":{},"f:name":{},"f:value":{}}},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"f:resources":{".":{},"f:requests":{".":{},"f:cpu":{},"f:memory":{}}},"f:terminationMessagePath":{}}},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:nodeName":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{},"f:tolerations":{}}}`),
			}},
		},
		Spec: corev1.PodSpec{
			NodeName: fmt.Sprintf("node-%04d", i%1000),
			Containers: []corev1.Container{{
				Name: "web", Image: "registry.example/web:1.2.3", Env: env,
				Ports: []corev1.ContainerPort{{ContainerPort: 8080, Protocol: "TCP"}},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi"),
				}},
				ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}},
				VolumeMounts:   []corev1.VolumeMount{{Name: "config", MountPath: "/etc/config"}},
			}},
			Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "config"},
			}}}},
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &seconds}},
		},
	}
}

func podName(i int) string { return fmt.Sprintf("web-7d9c6b8f5d-%05d", i) }
