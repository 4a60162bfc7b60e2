package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nested is a schema of so many objects, each in the one before.
func nested(depth int) string {
	return strings.Repeat(`{"type":"object","properties":{"a":`, depth) + `{"type":"string"}` + strings.Repeat("}}", depth)
}

// TestHostileDefinitions sends definitions that are meant to cost the server its
// memory or its time. They are refused in upstream's words.
func TestHostileDefinitions(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	const frame = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"bombs.example.com"},"spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"bombs","kind":"Bomb"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":%s}}]}}`
	spec := func(schema string) string {
		return fmt.Sprintf(frame, `{"type":"object","properties":{"spec":`+schema+`}}`)
	}
	for name, c := range map[string]struct{ contentType, body, want string }{
		"nested beyond what JSON may be": {"application/json", spec(nested(6000)), "exceeded max depth"},
		"larger than a request may be":   {"application/json", spec(`{"type":"string","description":"` + strings.Repeat("x", 4<<20) + `"}`), "too large"},
		"YAML of aliases": {"application/yaml", `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: bombs.example.com}
a: &a [x,x,x,x,x,x,x,x,x,x]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]
d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]
e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]
f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]
g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]
`, "excessive aliasing"},
		"references": {"application/json", spec(`{"$ref":"#/definitions/a"}`), "properties[spec].$ref: Forbidden: $ref is not supported"},
		"a rule over its cost": {"application/json", spec(`{"type":"array","items":{"type":"array","items":{"type":"string"}},"x-kubernetes-validations":[{"rule":"self.all(x, x.all(y, self.all(z, z.all(u, u == y))))"}]}`),
			"estimated rule cost exceeds budget by factor of more than 100x"},
		"rules over their cost together": {"application/json", spec(`{"type":"object","additionalProperties":{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"},"x-kubernetes-validations":[{"rule":"self.all(x, x.contains('a'))"}]}}}}`),
			"exceeds budget"},
		"a rule that is none":     {"application/json", spec(`{"type":"string","x-kubernetes-validations":[{"rule":"self >"}]}`), "compilation failed"},
		"a pattern that is none":  {"application/json", spec(`{"type":"string","pattern":"(("}`), "must be a valid regular expression"},
		"a default of its own":    {"application/json", spec(`{"type":"integer","default":"x"}`), `properties[spec].default: Invalid value: "string":  in body must be of type integer`},
		"a schema without a type": {"application/json", spec(`{"properties":{"a":{}}}`), "must not be empty for specified object fields"},
	} {
		t.Run(name, func(t *testing.T) {
			err := e.typed.CoreV1().RESTClient().Post().AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").
				SetHeader("Content-Type", c.contentType).Body([]byte(c.body)).Do(t.Context()).Error()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				text := fmt.Sprint(err)
				t.Errorf("got %.500s, want %q", text, c.want)
			}
		})
	}

	// One that is as deep as may be is served.
	e.define(t, spec(nested(300)))
	deep := strings.Repeat(`{"a":`, 300) + `"x"` + strings.Repeat("}", 300)
	made, err := e.Resource(gvr("example.com", "v1", "bombs")).Namespace("default").Create(t.Context(),
		document(t, `{"apiVersion":"example.com/v1","kind":"Bomb","metadata":{"name":"a"},"spec":`+deep+`}`), metav1.CreateOptions{})
	if err != nil || field(made, "spec") != deep {
		t.Errorf("the deepest: %v", err)
	}
}

// A conversion webhook that never answers holds up who needs it, and nobody else.
func TestHangingConversion(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	asked, end := make(chan struct{}, 100), make(chan struct{})
	hook := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-end:
		}
	}))
	defer hook.Close()
	defer close(end)
	crd := e.define(t, hooked(t, bolts, hook))
	v1, v2 := e.Resource(gvr("example.com", "v1", "bolts")), e.Resource(gvr("example.com", "v2", "bolts"))
	if _, err := v1.Create(t.Context(), document(t, "{apiVersion: example.com/v1, kind: Bolt, metadata: {name: a}, spec: {length: 5}}"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	hung := make(chan error, 1)
	go func() {
		_, err := v2.Get(ctx, "a", metav1.GetOptions{})
		hung <- err
	}()
	<-asked
	// Meanwhile the stored version, other resources, and the definition are served.
	if _, err := v1.List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := v1.Create(t.Context(), document(t, "{apiVersion: example.com/v1, kind: Bolt, metadata: {name: b}, spec: {length: 5}}"), metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := e.typed.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-hung; !errors.Is(err, context.Canceled) {
		t.Errorf("who waits for it: %v", err)
	}
	// Its definition can be deleted with everything that is in it.
	if err := e.crds.ApiextensionsV1().CustomResourceDefinitions().Delete(t.Context(), crd.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		left, err := e.crds.ApiextensionsV1().CustomResourceDefinitions().Get(t.Context(), crd.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still there: %+v, %v", left.Status, err)
		}
	}
}
