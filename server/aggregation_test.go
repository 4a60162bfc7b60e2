package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
	aggregatorclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
)

// reachable is an address of this machine that endpoints may have.
func reachable(t *testing.T) net.IP {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if ip := address.(*net.IPNet).IP.To4(); ip != nil && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			return ip
		}
	}
	t.Skip("this machine has no address but loopback, which endpoints can't have")
	return nil
}

func listenAt(t *testing.T, ip net.IP, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	var err error
	if server.Listener, err = net.Listen("tcp", net.JoinHostPort(ip.String(), "0")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

// expose makes a Service, without selector, that leads to a server; pod is whose
// address that is, if it is one's.
func (e extended) expose(t *testing.T, name string, server *httptest.Server, portName string, pod *corev1.ObjectReference) {
	t.Helper()
	address := server.Listener.Addr().(*net.TCPAddr)
	_, err := e.typed.CoreV1().Services("default").Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: portName, Port: 443}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	port := int32(address.Port)
	_, err = e.typed.DiscoveryV1().EndpointSlices("default").Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address.IP.String()}, TargetRef: pod}},
		Ports:       []discoveryv1.EndpointPort{{Name: &portName, Port: &port}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// believed are the authorities of front proxies, as an aggregated API server
// learns them.
func (e extended) believed(t *testing.T) *x509.CertPool {
	t.Helper()
	trust, err := e.typed.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "extension-apiserver-authentication", metav1.GetOptions{})
	for deadline := time.Now().Add(20 * time.Second); apierrors.IsNotFound(err) && time.Now().Before(deadline); { // it comes soon after the start
		trust, err = e.typed.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "extension-apiserver-authentication", metav1.GetOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(trust.Data["requestheader-client-ca-file"])) {
		t.Fatalf("no authority: %v", trust.Data)
	}
	return pool
}

// untilService watches an APIService until its condition has the reason.
func untilService(t *testing.T, client aggregatorclient.Interface, name, reason string) *apiregistrationv1.APIService {
	t.Helper()
	w, err := client.ApiregistrationV1().APIServices().Watch(t.Context(), metav1.SingleObject(metav1.ObjectMeta{Name: name}))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	timeout := time.After(20 * time.Second)
	var last *apiregistrationv1.APIService
	for {
		select {
		case event := <-w.ResultChan():
			last, _ = event.Object.(*apiregistrationv1.APIService)
			if last == nil {
				continue
			}
			if c := helper.GetAPIServiceConditionByType(last, apiregistrationv1.Available); c != nil && c.Reason == reason {
				return last
			}
		case <-timeout:
			t.Fatalf("APIService %s is not %s, last: %+v", name, reason, last)
		}
	}
}

func TestAggregation(t *testing.T) {
	ip := reachable(t)
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	client := aggregatorclient.NewForConfigOrDie(e.config)
	services := client.ApiregistrationV1().APIServices()

	for _, name := range []string{"v1.", "v1.apps", "v2.autoscaling", "v1.apiextensions.k8s.io"} {
		untilService(t, client, name, "Local")
	}
	apps, err := services.Get(t.Context(), "v1.apps", metav1.GetOptions{})
	if err != nil || apps.Spec.GroupPriorityMinimum != 17800 || apps.Spec.VersionPriority != 15 {
		t.Errorf("v1.apps: %+v, %v", apps.Spec, err)
	}
	e.define(t, widgets)
	untilService(t, client, "v1.example.com", "Local")

	behind := listenAt(t, ip, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "echo" && r.Header.Get("X-Remote-User") != "" {
			echo(w)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/apis/other.example/v1":
			fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"other.example/v1","resources":[{"name":"things","singularName":"thing","namespaced":true,"kind":"Thing","verbs":["get","list"]}]}`)
		case "/openapi/v3":
			fmt.Fprint(w, `{"paths":{"apis/other.example/v1":{"serverRelativeURL":"/openapi/v3/apis/other.example/v1?hash=ABC"}}}`)
		case "/openapi/v3/apis/other.example/v1":
			fmt.Fprint(w, `{"openapi":"3.0.0","info":{"title":"other","version":"1"},"paths":{}}`)
		case "/openapi/v2":
			fmt.Fprint(w, `{"swagger":"2.0","info":{"title":"other","version":"1"},"paths":{"/apis/other.example/v1/things":{"get":{"operationId":"listThings","responses":{"200":{"description":"OK"}}}},"/elsewhere":{}}}`)
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{
				"kind": "Thing", "apiVersion": "other.example/v1", "metadata": map[string]any{"name": "x"},
				"path": r.URL.String(), "user": r.Header.Get("X-Remote-User"), "groups": r.Header["X-Remote-Group"], "authorization": r.Header.Get("Authorization"),
			})
		}
	}))
	behind.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: e.believed(t)}
	behind.StartTLS()
	port := int32(443)
	other := &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: "v1.other.example"},
		Spec: apiregistrationv1.APIServiceSpec{
			Group: "other.example", Version: "v1", GroupPriorityMinimum: 500, VersionPriority: 10, InsecureSkipTLSVerify: true,
			Service: &apiregistrationv1.ServiceReference{Namespace: "default", Name: "echo", Port: &port},
		},
	}
	if _, err := services.Create(t.Context(), other, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	missing := untilService(t, client, other.Name, "ServiceNotFound")
	if c := missing.Status.Conditions[0]; c.Message != `service/echo in "default" is not present` {
		t.Errorf("%+v", c)
	}
	raw := func(path string) (string, error) {
		body, err := e.typed.CoreV1().RESTClient().Get().AbsPath(path).DoRaw(t.Context())
		return string(body), err
	}
	if _, err := raw("/apis/other.example/v1/things"); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("a server that is not there: %v", err)
	}
	if _, err := e.typed.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("a server that is not there disturbs others: %v", err)
	}
	e.expose(t, "echo", behind, "https", nil)
	untilService(t, client, other.Name, "Passed")

	body, err := raw("/apis/other.example/v1/namespaces/default/things/x?watch=no")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"path":"/apis/other.example/v1/namespaces/default/things/x`, `"user":"`, `"system:masters"`, `"authorization":""`} {
		if !strings.Contains(body, part) {
			t.Errorf("the server saw %s, no %s", body, part)
		}
	}
	upgraded(t, e.config, "/apis/other.example/v1/namespaces/default/things/x/echo")
	groups, lists, err := e.typed.Discovery().ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	if last := groups[len(groups)-1]; last.Name != "other.example" {
		t.Errorf("the group of the lowest priority is not last: %s", last.Name)
	}
	found := false
	for _, list := range lists {
		found = found || list.GroupVersion == "other.example/v1" && list.APIResources[0].Name == "things"
	}
	if !found {
		t.Error("discovery has no things")
	}
	paths, err := e.typed.Discovery().OpenAPIV3().Paths()
	if err != nil || paths["apis/other.example/v1"] == nil {
		t.Fatalf("OpenAPI v3 has %d paths, %v", len(paths), err)
	}
	if text, err := paths["apis/other.example/v1"].Schema("application/json"); err != nil || !strings.Contains(string(text), `"other"`) {
		t.Errorf("%s, %v", text, err)
	}
	swagger, err := raw("/openapi/v2")
	if err != nil || !strings.Contains(swagger, "listThings") || strings.Contains(swagger, "/elsewhere") {
		t.Errorf("OpenAPI v2 of %d bytes, %v", len(swagger), err)
	}

	if err := e.crds.ApiextensionsV1().CustomResourceDefinitions().Delete(t.Context(), "widgets.example.com", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := services.Get(t.Context(), "v1.example.com", metav1.GetOptions{}); apierrors.IsNotFound(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the APIService outlives its definition")
		}
	}

	behind.CloseClientConnections()
	behind.Listener.Close()
	untilService(t, client, other.Name, "FailedDiscoveryCheck")
	for _, line := range []string{`aggregator_unavailable_apiservice{name="v1.other.example"} 1`, `aggregator_unavailable_apiservice{name="v1.apps"} 0`,
		`aggregator_unavailable_apiservice_total{name="v1.other.example",reason="FailedDiscoveryCheck"} 1`} {
		for deadline := time.Now().Add(20 * time.Second); ; { // they follow the condition
			measured, err := raw("/metrics")
			if err == nil && strings.Contains(measured, line) {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("no metric %s, %v", line, err)
				break
			}
		}
	}
	if _, err := e.typed.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("a server that is down disturbs others: %v", err)
	}
}

// TestAPIServiceOfBuiltInGroup keeps an APIService that would give a built-in
// group away, and serves the group itself.
func TestAPIServiceOfBuiltInGroup(t *testing.T) {
	ip := reachable(t)
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	client := aggregatorclient.NewForConfigOrDie(e.config)
	services := client.ApiregistrationV1().APIServices()
	untilService(t, client, "v1.batch", "Local")
	thief := listenAt(t, ip, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"batch/v1","resources":[]}`)
	}))
	thief.StartTLS()
	e.expose(t, "thief", thief, "https", nil)
	port := int32(443)
	builtin := &apiregistrationv1.APIService{Spec: apiregistrationv1.APIServiceSpec{
		Group: "batch", Version: "v1", GroupPriorityMinimum: 500, VersionPriority: 10, InsecureSkipTLSVerify: true,
		Service: &apiregistrationv1.ServiceReference{Namespace: "default", Name: "thief", Port: &port},
	}}
	if kept, err := services.Get(t.Context(), "v1.batch", metav1.GetOptions{}); err != nil {
		t.Error(err)
	} else {
		kept.Spec = builtin.Spec
		if _, err := services.Update(t.Context(), kept, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	untilService(t, client, "v1.batch", "Passed")
	if _, err := e.typed.BatchV1().Jobs("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("a built-in group was given away: %v", err)
	}
}

// TestAPIServiceOfDefinition takes back the group version of a definition from an
// APIService that would give it away, as upstream does.
func TestAPIServiceOfDefinition(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	e.define(t, bolts)
	client := aggregatorclient.NewForConfigOrDie(e.config)
	services := client.ApiregistrationV1().APIServices()
	kept := untilService(t, client, "v1.example.com", "Local")
	own := kept.Spec
	port := int32(443)
	kept.Spec.Service = &apiregistrationv1.ServiceReference{Namespace: "default", Name: "thief", Port: &port}
	kept.Spec.InsecureSkipTLSVerify = true
	if _, err := services.Update(t.Context(), kept, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		kept, err := services.Get(t.Context(), "v1.example.com", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if equality.Semantic.DeepEqual(kept.Spec, own) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is not taken back: %+v", kept.Spec)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, err := e.Resource(gvr("example.com", "v1", "bolts")).List(t.Context(), metav1.ListOptions{})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("its resources are not served: %v", err)
		}
	}
}
