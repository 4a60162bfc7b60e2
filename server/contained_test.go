package server

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregatorclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
)

// TestManyDefinitionsAtOnce creates definitions as fast as the server takes them.
func TestManyDefinitionsAtOnce(t *testing.T) {
	const many, clients = 200, 8
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	numbers := make(chan int)
	var creating sync.WaitGroup
	for range clients {
		creating.Go(func() {
			for i := range numbers {
				text := strings.NewReplacer("widget", fmt.Sprintf("widget%d", i), "Widget", fmt.Sprintf("Widget%d", i), "[wd]", "[]").Replace(widgets)
				if _, err := e.crds.ApiextensionsV1().CustomResourceDefinitions().Create(t.Context(), definition(t, text), metav1.CreateOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range many {
		numbers <- i
	}
	close(numbers)
	creating.Wait()
	for i := range many {
		e.untilDefinition(t, fmt.Sprintf("widget%ds.example.com", i), func(crd *apiextensionsv1.CustomResourceDefinition) bool {
			return apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established)
		})
		in := e.Resource(gvr("example.com", "v1", fmt.Sprintf("widget%ds", i))).Namespace("default")
		one := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "example.com/v1", "kind": fmt.Sprintf("Widget%d", i),
			"metadata": map[string]any{"name": "one"}, "spec": map[string]any{"color": "blue"},
		}}
		if _, err := in.Create(t.Context(), one, metav1.CreateOptions{}); err != nil {
			t.Fatal(i, err)
		}
	}
	resources, err := e.typed.Discovery().ServerResourcesForGroupVersion("example.com/v1")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(resources.APIResources); n != 3*many { // with status and scale
		t.Errorf("discovery has %d resources", n)
	}
}

// TestCostlyRule meets a rule that may be admitted, by its estimated cost, and
// then costs more than a rule may.
func TestCostlyRule(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	e.define(t, `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: matrices.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: matrices, singular: matrix, kind: Matrix}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              numbers: {type: array, maxItems: 800, items: {type: integer}}
            x-kubernetes-validations:
            - rule: "self.numbers.all(x, self.numbers.all(y, x + y >= 0))"
`)
	create := func(name string, count int) error {
		numbers := make([]any, count)
		for i := range numbers {
			numbers[i] = int64(i)
		}
		_, err := e.Resource(gvr("example.com", "v1", "matrices")).Namespace("default").Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "example.com/v1", "kind": "Matrix", "metadata": map[string]any{"name": name}, "spec": map[string]any{"numbers": numbers},
		}}, metav1.CreateOptions{})
		return err
	}
	if err := create("small", 10); err != nil {
		t.Error(err)
	}
	if err := create("large", 800); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "no further validation rules will be run due to call cost exceeds limit for rule") {
		t.Errorf("a rule without end: %v", err)
	}
}

// TestExternalAPIServer reaches an aggregated API server by the name that a
// Service of the type ExternalName gives it.
func TestExternalAPIServer(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	behind := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/apis/external.example/v1" {
			fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"external.example/v1","resources":[]}`)
			return
		}
		fmt.Fprintf(w, `{"kind":"Thing","apiVersion":"external.example/v1","metadata":{"name":%q}}`, r.Host)
	}))
	behind.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: e.believed(t)}
	behind.StartTLS()
	t.Cleanup(behind.Close)
	port := int32(behind.Listener.Addr().(*net.TCPAddr).Port)
	if _, err := e.typed.CoreV1().Services("default").Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	client := aggregatorclient.NewForConfigOrDie(e.config)
	if _, err := client.ApiregistrationV1().APIServices().Create(t.Context(), &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: "v1.external.example"},
		Spec: apiregistrationv1.APIServiceSpec{
			Group: "external.example", Version: "v1", GroupPriorityMinimum: 500, VersionPriority: 10, InsecureSkipTLSVerify: true,
			Service: &apiregistrationv1.ServiceReference{Namespace: "default", Name: "elsewhere", Port: &port},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	untilService(t, client, "v1.external.example", "Passed")
	get := func() ([]byte, error) {
		return e.typed.CoreV1().RESTClient().Get().AbsPath("/apis/external.example/v1/things/x").DoRaw(t.Context())
	}
	body, err := get()
	// What is proxied follows the status that was just read.
	for deadline := time.Now().Add(5 * time.Second); apierrors.IsServiceUnavailable(err) && time.Now().Before(deadline); body, err = get() {
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil || !strings.Contains(string(body), `"Thing"`) {
		t.Errorf("%s, %v", body, err)
	}
}
