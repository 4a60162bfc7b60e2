package scheduling

import (
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// asked is what an API is asked for.
type asked struct {
	method, path, query, agent, token string
	binding                           corev1.Binding
}

// TestBinder: the API is asked for what client-go asks for, and errors are the same.
func TestBinder(t *testing.T) {
	for name, answer := range map[string]struct {
		code   int
		header http.Header
		body   string
	}{
		"bound":     {code: http.StatusCreated, body: `{"kind":"Status","apiVersion":"v1","status":"Success","code":201}`},
		"conflict":  {code: http.StatusConflict, body: `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","code":409,"message":"pod web is already assigned to node \"b\""}`},
		"not found": {code: http.StatusNotFound, body: `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"pods \"web\" not found"}`},
		"text":      {code: http.StatusForbidden, body: "no", header: http.Header{"Content-Type": {"text/plain"}}},
		"proxy's":   {code: http.StatusBadGateway, body: "<html>", header: http.Header{"Content-Type": {"text/html"}}},
		"nothing":   {code: http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := ""
			if name == "conflict" {
				prefix = "/clusters/one"
			}
			var got []asked
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				one := asked{method: r.Method, path: r.URL.Path, query: r.URL.RawQuery, agent: r.UserAgent(), token: r.Header.Get("Authorization")}
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, &one.binding); err != nil {
					t.Error(err)
				}
				got = append(got, one)
				w.Header().Set("Content-Type", "application/json")
				for key, values := range answer.header {
					w.Header()[key] = values
				}
				w.WriteHeader(answer.code)
				_, _ = io.WriteString(w, answer.body)
			}))
			defer api.Close()
			access := &rest.Config{Host: api.URL + prefix, BearerToken: "secret", UserAgent: "scheduler", ContentConfig: rest.ContentConfig{ContentType: "application/vnd.kubernetes.protobuf"}}
			transport, err := rest.HTTPClientFor(access)
			if err != nil {
				t.Fatal(err)
			}
			client, err := kubernetes.NewForConfigAndClient(access, transport)
			if err != nil {
				t.Fatal(err)
			}
			binder, err := newBinder(access, transport)
			if err != nil {
				t.Fatal(err)
			}
			binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "u"}, Target: corev1.ObjectReference{Kind: "Node", Name: "a"}}
			theirs := client.CoreV1().Pods("default").Bind(t.Context(), binding, metav1.CreateOptions{})
			ours := binder.bind(t.Context(), binding)
			if len(got) != 2 || !reflect.DeepEqual(got[0], got[1]) {
				t.Errorf("client-go and the binder ask for\n%+v", got)
			}
			if (theirs == nil) != (ours == nil) || theirs != nil && (apierrors.ReasonForError(theirs) != apierrors.ReasonForError(ours) || code(theirs) != code(ours)) {
				t.Errorf("%v, client-go: %v", ours, theirs)
			}
			if ours != nil && strings.HasPrefix(answer.body, "{") && ours.Error() != theirs.Error() {
				t.Errorf("%v, client-go: %v", ours, theirs)
			}
		})
	}
}

func code(err error) int32 {
	status, ok := err.(apierrors.APIStatus)
	if !ok {
		return 0
	}
	return status.Status().Code
}

// TestBinderTellsOfRefusals: a broken connection is not an answer.
func TestBinderTellsOfRefusals(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer api.Close()
	binder, err := newBinder(&rest.Config{Host: api.URL}, api.Client())
	if err != nil {
		t.Fatal(err)
	}
	err = binder.bind(t.Context(), &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}})
	if err == nil || code(err) != 0 {
		t.Errorf("a broken connection is %v", err)
	}
}
